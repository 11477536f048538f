import json

import httpx
import pytest

from tests.rehearsal import RunningTokenHub, chat_body

CHAT = "/v1/chat/completions"


def test_no_models_returns_a_null_list_and_503(tokenhub: RunningTokenHub, client: httpx.Client) -> None:
    tokenhub.rehearse("no_models", times=1)

    assert client.get("/v1/models").content == b'{"data":null,"object":"list"}\n'
    assert client.get("/healthz").status_code == 503
    assert client.post(CHAT, json=chat_body()).json()["error"]["message"] == "no eligible models registered"
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("mode", "status", "body", "retry_after"),
    [
        ("refuse_key", 401, b"invalid api key\n", None),
        ("no_scope", 403, b"insufficient scope\n", None),
        ("rate_limit", 429, b"rate limit exceeded\n", "1"),
        ("key_rate_limit", 429, b"api key rate limit exceeded\n", "1"),
        ("budget", 429, b'{"budget_usd":10,"error":"monthly budget exceeded","spent_usd":10.42}\n', None),
        ("panic", 500, b"", None),
    ],
)
def test_rejections_have_tokenhubs_bodies(
    client: httpx.Client, mode: str, status: int, body: bytes, retry_after: str | None
) -> None:
    answer = client.post(CHAT, json=chat_body(model=f"rehearse/{mode}"))

    assert (answer.status_code, answer.content, answer.headers.get("retry-after")) == (status, body, retry_after)


def test_checks_rate_limit_then_key_then_budget(client_without_key: httpx.Client) -> None:
    def status(mode: str) -> int:
        return client_without_key.post(CHAT, json=chat_body(model=f"rehearse/{mode}")).status_code

    assert (status("rate_limit"), status("budget")) == (429, 401)


def test_only_a_stream_contains_the_cause_of_all_failed(client: httpx.Client) -> None:
    plain = client.post(CHAT, json=chat_body(model="rehearse/all_failed"))
    stream = client.post(CHAT, json=chat_body(model="rehearse/all_failed", stream=True))

    assert (plain.status_code, stream.status_code) == (502, 502)
    assert plain.json() == {"error": {"message": "all providers failed", "type": "server_error", "code": None}}
    cause = stream.json()["error"]["message"]
    assert cause.startswith("all providers failed for streaming: API error (status 401): {")


@pytest.mark.parametrize(
    ("mode", "path", "stream", "status", "part"),
    [
        ("all_failed", "/v1/chat", False, 502, '{"error":"all providers failed"}'),
        ("all_failed", "/v1/messages", False, 401, "authentication_error"),
        ("all_failed", "/v1/messages", True, 502, "upstream 401: "),
        ("all_failed", "/v1/embeddings", False, 401, "invalid_api_key"),
        ("no_providers", CHAT, True, 502, "no eligible models registered"),
        ("no_providers", "/v1/messages", False, 503, "no Anthropic-compatible provider configured"),
        ("no_providers", "/v1/embeddings", False, 503, "provider does not support embeddings"),
        ("no_models", "/v1/embeddings", False, 404, "model not found: echo"),
    ],
)
def test_each_route_has_its_own_failure(
    tokenhub: RunningTokenHub, client: httpx.Client, mode: str, path: str, stream: bool, status: int, part: str
) -> None:
    tokenhub.rehearse(mode)
    body = {"request": chat_body()} if path == "/v1/chat" else chat_body(stream=stream, input="x")
    answer = client.post(path, json=body)

    assert answer.status_code == status
    assert part in answer.text


def test_wraps_a_providers_error_page_in_a_200(client: httpx.Client) -> None:
    answers = [client.post(CHAT, json=chat_body(model=f"rehearse/wrapped_{kind}")).json() for kind in ("error", "html")]

    contents = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert json.loads(contents[0])["error"]["code"] == "invalid_api_key"
    assert contents[1].startswith("<!DOCTYPE html>")
    assert not any("usage" in answer for answer in answers)
    streamed = client.post(CHAT, json=chat_body(model="rehearse/wrapped_error", stream=True))
    assert streamed.headers["content-type"] == "text/event-stream"
    assert streamed.content.startswith(b'{\n  "error"')


def test_html_mode_returns_a_web_page(client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body(model="rehearse/html"))

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
