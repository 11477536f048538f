import json
from typing import Any

import pytest

from tests.rehearsal import KEY, RunningTokenHub
from tests.scripted_server import ScriptedServer, always, answer, response

MESSAGES = [{"role": "user", "content": "Hello"}]


def test_returns_a_stream_as_tokenhub_sent_it(register: Any, complete: Any, tokenhub: RunningTokenHub) -> None:
    register()

    status, headers, body = complete()

    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert body == b"".join(data for _, data in tokenhub.sent)
    assert body.endswith(b"data: [DONE]\n\n")


def test_returns_a_json_answer_unchanged(register: Any, complete: Any) -> None:
    register()

    status, headers, body = complete({"messages": MESSAGES, "model": "gpt-4o"})

    assert status == 200
    assert headers["x-request-id"] == "completion-1"
    assert headers["x-provider-id"] == "tokenhub"
    assert json.loads(body)["id"] == "chatcmpl-completion-1"


def test_sends_the_stored_key_and_never_the_callers_token(
    register: Any, complete: Any, tokenhub: RunningTokenHub
) -> None:
    register()
    complete()

    [request] = tokenhub.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert "a-client-token" not in str(request.headers)


def test_adds_the_registered_model_to_a_request_without_one(
    register: Any, complete: Any, tokenhub: RunningTokenHub
) -> None:
    register(model="gpt-4o-mini")
    complete({"messages": MESSAGES})

    assert json.loads(tokenhub.requests[0].body)["model"] == "gpt-4o-mini"


def test_explains_how_to_register_the_first_provider(complete: Any) -> None:
    status, headers, body = complete()

    assert status == 503
    assert json.loads(body)["error"]["code"] == "no_provider"
    assert headers["x-error-source"] == "gateway"
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize("body", ["{", "[]", "null", ""])
def test_rejects_a_body_that_is_not_a_json_object(
    register: Any, complete: Any, tokenhub: RunningTokenHub, body: str
) -> None:
    register()

    status, _, answer = complete(body)

    assert status == 400
    assert json.loads(answer)["error"]["code"] == "invalid_request"
    assert tokenhub.requests == []


REFUSED = {
    "refuse_key": (401, "provider_key_refused", "tokenhub"),
    "budget": (429, "provider_budget_spent", "tokenhub"),
    "all_failed": (502, "provider_all_failed", "tokenhub"),
    "no_providers": (502, "provider_no_models", "tokenhub"),
}


@pytest.mark.parametrize(("mode", "expected"), REFUSED.items(), ids=REFUSED.keys())
def test_keeps_the_status_of_a_tokenhub_error(
    register: Any, complete: Any, tokenhub: RunningTokenHub, mode: str, expected: tuple[int, str, str]
) -> None:
    register()
    tokenhub.rehearse(mode)

    status, headers, body = complete()

    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert (status, error["code"], headers["x-error-source"]) == expected


def test_repeats_the_request_with_a_rotated_key(register: Any, complete: Any, tokenhub: RunningTokenHub) -> None:
    register(api_key="old-key-0000")
    assert complete()[0] == 200
    register(api_key=KEY)
    tokenhub.rehearse("refuse_key", times=1)

    assert complete()[0] == 200
    assert tokenhub.requests[-1].headers["authorization"] == f"Bearer {KEY}"


def test_selects_a_provider_by_header(register: Any, complete: Any) -> None:
    register()
    register(id="second")

    _, headers, _ = complete(headers={"X-Provider-Id": "second"})

    assert headers["x-provider-id"] == "second"


def test_names_a_provider_that_cannot_be_reached(
    register: Any, complete: Any, aws: Any, caplog: pytest.LogCaptureFixture
) -> None:
    register(endpoint="http://127.0.0.1:1/v1")
    update = {"UpdateExpression": "SET #s = :s", "ExpressionAttributeNames": {"#s": "status"}}
    aws.providers.update_item(Key={"id": "tokenhub"}, ExpressionAttributeValues={":s": "failed"}, **update)
    caplog.clear()

    status, headers, body = complete()

    assert (status, json.loads(body)["error"]["code"]) == (502, "provider_unreachable")
    assert (headers["x-provider-id"], headers["x-provider-status"]) == ("tokenhub", "failed")
    assert [vars(line)["provider"] for line in caplog.records] == ["tokenhub"]


def test_ignores_an_impossible_token_count(register: Any, complete: Any, caplog: pytest.LogCaptureFixture) -> None:
    body = b'{"usage": {"prompt_tokens": 1%b, "completion_tokens": 2}, "choices": []}' % (b"0" * 400)
    with ScriptedServer(always(answer(body=body))) as upstream:
        register(endpoint=upstream.url)
        caplog.clear()
        status, _, received = complete({"messages": MESSAGES})

    [line] = [vars(record) for record in caplog.records]
    assert (status, received) == (200, body)
    assert (line["prompt_tokens"], line["completion_tokens"]) == (None, 2)


def test_forwards_a_successful_answer_that_repeats_the_key_unchanged(register: Any, complete: Any) -> None:
    """SECURITY.md documents this limit: redaction could make an answer wrong."""
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": f"repeated {KEY}"}}]}).encode()
    with ScriptedServer(always(answer(body=body))) as upstream:
        register(endpoint=upstream.url)
        status, _, received = complete({"messages": MESSAGES})

    assert (status, received) == (200, body)


def test_writes_one_log_line_without_key_prompt_or_answer(
    register: Any, complete: Any, caplog: pytest.LogCaptureFixture
) -> None:
    register()
    caplog.clear()
    complete({"messages": [{"role": "user", "content": "a very private question"}], "stream": True})

    [line] = [vars(record) for record in caplog.records]
    assert (line["msg"], line["status"], line["stream_end"], line["provider"]) == ("request", 200, "done", "tokenhub")
    assert line["bytes"] > 0
    assert line["completion_tokens"] is None
    assert KEY not in str(line)
    assert "private" not in str(line)


def test_rejects_a_web_page_where_a_stream_was_requested(
    register: Any, complete: Any, tokenhub: RunningTokenHub
) -> None:
    register()
    tokenhub.rehearse("html")

    status, headers, body = complete()

    assert (status, json.loads(body)["error"]["code"]) == (502, "not_a_stream")
    assert (headers["x-error-source"], headers["x-should-retry"]) == ("gateway", "false")


def test_ignores_stream_on_routes_without_streams(register: Any, complete: Any) -> None:
    register()

    body = {"model": "text-embedding-3-small", "input": "a", "stream": True}
    status, headers, _ = complete(body, resource="/v1/embeddings", path="/v1/embeddings")

    assert (status, headers["content-type"]) == (200, "application/json")


FINISHED = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize(("choices", "whole"), [(1, True), (2, False)])
def test_reads_the_choices_of_the_chat_route_from_its_parameters(
    register: Any, complete: Any, choices: int, whole: bool
) -> None:
    body = {"request": {"messages": MESSAGES, "stream": True, "parameters": {"n": choices}}}
    with ScriptedServer(always(*response((FINISHED,)))) as upstream:
        register(endpoint=upstream.url)
        _, _, received = complete(body, resource="/v1/chat", path="/v1/chat")

    assert (received == FINISHED) == whole


@pytest.mark.parametrize(
    ("mode", "code", "remedy"),
    [
        ("refuse_key", "provider_key_refused", "Register the provider"),
        ("all_failed", "model_access_refused", "The model's provider refuses TokenHub's access"),
    ],
)
def test_distinguishes_a_refused_key_from_tokenhubs_own(
    register: Any, complete: Any, tokenhub: RunningTokenHub, mode: str, code: str, remedy: str
) -> None:
    register()
    tokenhub.rehearse(mode)

    status, _, body = complete({"messages": MESSAGES}, resource="/v1/messages", path="/v1/messages")

    assert (status, json.loads(body)["error"]["code"]) == (401, code)
    assert remedy in json.loads(body)["error"]["message"]


def test_logs_the_callers_request_id_and_never_sends_it(
    register: Any, complete: Any, tokenhub: RunningTokenHub, caplog: pytest.LogCaptureFixture
) -> None:
    register()
    caplog.clear()
    complete(headers={"X-Request-ID": "mine-1"})

    assert [vars(record)["client_request_id"] for record in caplog.records] == ["mine-1"]
    assert tokenhub.requests[0].headers["x-request-id"] == "completion-1"


@pytest.mark.parametrize("stream", [True, False])
def test_logs_the_id_and_the_finish_reasons_of_the_answer(
    register: Any, complete: Any, caplog: pytest.LogCaptureFixture, *, stream: bool
) -> None:
    register()
    caplog.clear()
    _, _, body = complete({"messages": MESSAGES, "stream": stream})

    [line] = [vars(record) for record in caplog.records]
    assert line["response_id"] in body.decode()
    assert line["response_id"].startswith("chatcmpl-")
    assert line["gen_ai.response.finish_reasons"] == ["stop"]
    assert line["provider_ms"] <= line["duration_ms"]


def test_logs_the_callers_metadata_and_never_sends_it(
    register: Any, complete: Any, tokenhub: RunningTokenHub, caplog: pytest.LogCaptureFixture
) -> None:
    register()
    caplog.clear()
    complete(headers={"X-Gateway-Metadata": '{"team": "search"}'})

    assert [vars(record)["metadata"] for record in caplog.records] == [{"team": "search"}]
    assert "x-gateway-metadata" not in tokenhub.requests[0].headers
    assert "search" not in str(tokenhub.requests[0])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_rejects_invalid_metadata_before_it_sends_anything(
    register: Any, complete: Any, tokenhub: RunningTokenHub, path: str
) -> None:
    register()

    status, _, body = complete(resource=path, path=path, headers={"X-Gateway-Metadata": "team"})

    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_metadata")
    assert tokenhub.requests == []


def test_logs_the_metadata_of_a_request_with_an_invalid_body(complete: Any, caplog: pytest.LogCaptureFixture) -> None:
    complete("[]", headers={"X-Gateway-Metadata": '{"team": "search"}'})

    [line] = [vars(record) for record in caplog.records]
    assert (line["code"], line["metadata"]) == ("invalid_request", {"team": "search"})
