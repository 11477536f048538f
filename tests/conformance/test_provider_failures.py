"""What TokenHub makes of a failing model provider (docs/tokenhub.md, 1.3, 1.4 and 2.2)."""

import json
from typing import Any

import httpx
import pytest

from tests.conformance.hub import Hub, Play
from tests.rehearsal import chat_body, sse_frames

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


def chat(hub: Hub, client: httpx.Client, **fields: Any) -> httpx.Response:
    return client.post(CHAT, json=chat_body("one two three four five", model=hub.models.openai, **fields))


def messages(hub: Hub, client: httpx.Client, **fields: Any) -> httpx.Response:
    body = chat_body("one two three four five", model=hub.models.anthropic, max_tokens=64, **fields)
    return client.post(MESSAGES, json=body)


@pytest.mark.parametrize("play", [Play.UNAUTHORIZED, Play.RATE_LIMITED, Play.OVERLOADED])
def test_chat_hides_the_cause_without_a_stream(hub: Hub, client: httpx.Client, play: Play) -> None:
    hub.play(play)
    answer = chat(hub, client)

    assert answer.status_code == 502
    assert answer.json() == {"error": {"message": "all providers failed", "type": "server_error", "code": None}}
    assert not {"x-negotiated-model", "retry-after"} & set(answer.headers)


@pytest.mark.parametrize("play", [Play.UNAUTHORIZED, Play.RATE_LIMITED, Play.OVERLOADED])
def test_chat_stream_contains_the_cause(hub: Hub, client: httpx.Client, play: Play) -> None:
    hub.play(play)
    answer = chat(hub, client, stream=True)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (502, "server_error", None)
    assert error["message"].startswith("all providers failed for streaming: API error (status ")
    assert answer.headers["content-type"] == "application/json"
    assert not {"x-negotiated-model", "retry-after"} & set(answer.headers)


@pytest.mark.parametrize(
    ("play", "status", "error_type"),
    [
        (Play.UNAUTHORIZED, 401, "authentication_error"),
        (Play.RATE_LIMITED, 429, "rate_limit_error"),
        (Play.OVERLOADED, 529, "overloaded_error"),
    ],
)
def test_messages_forwards_the_providers_error(
    hub: Hub, client: httpx.Client, play: Play, status: int, error_type: str
) -> None:
    hub.play(play)
    answer = messages(hub, client)

    assert (answer.status_code, answer.json()["error"]["type"]) == (status, error_type)
    assert answer.headers["x-negotiated-model"] == hub.models.anthropic
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("play", "status"), [(Play.UNAUTHORIZED, 401), (Play.RATE_LIMITED, 429), (Play.OVERLOADED, 529)]
)
def test_messages_stream_that_fails_before_its_first_byte_is_a_502_of_tokenhub(
    hub: Hub, client: httpx.Client, play: Play, status: int
) -> None:
    hub.play(play)
    answer = messages(hub, client, stream=True)

    error = answer.json()["error"]
    assert (answer.status_code, answer.json()["type"], error["type"]) == (502, "error", "server_error")
    assert error["message"].startswith(f"upstream {status}: {{")
    assert "x-negotiated-model" not in answer.headers


@pytest.mark.parametrize(
    ("play", "status", "code"),
    [(Play.UNAUTHORIZED, 401, "invalid_api_key"), (Play.RATE_LIMITED, 429, "rate_limit_exceeded")],
)
def test_embeddings_forwards_the_providers_error(
    hub: Hub, client: httpx.Client, play: Play, status: int, code: str
) -> None:
    hub.play(play)
    answer = client.post("/v1/embeddings", json={"model": hub.models.embedding, "input": "x"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-negotiated-model"] == hub.models.embedding


def test_openai_provider_has_no_messages_route(hub: Hub, client: httpx.Client) -> None:
    body = chat_body(model=hub.models.openai, max_tokens=64)
    answer, stream = client.post(MESSAGES, json=body), client.post(MESSAGES, json=body | {"stream": True})

    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Invalid URL (POST /v1/messages)")
    assert answer.headers["x-negotiated-model"] == hub.models.openai
    assert stream.status_code == 502
    assert stream.json()["error"]["message"].startswith("upstream 404: {")


def test_wraps_an_error_with_status_200_into_a_completion(hub: Hub, client: httpx.Client) -> None:
    hub.play(Play.ERROR_WITH_STATUS_200)
    body = chat(hub, client).json()

    assert json.loads(body["choices"][0]["message"]["content"])["error"]["code"] == "invalid_api_key"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in body


def test_forwards_an_error_with_status_200_as_a_stream(hub: Hub, client: httpx.Client) -> None:
    hub.play(Play.ERROR_WITH_STATUS_200)
    answer = chat(hub, client, stream=True)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(("path", "anthropic"), [(CHAT, False), (CHAT, True), (MESSAGES, True)])
def test_cut_stream_ends_cleanly_without_an_end_mark(
    hub: Hub, client: httpx.Client, path: str, anthropic: bool
) -> None:
    hub.play(Play.CUT)
    model = hub.models.anthropic if anthropic else hub.models.openai
    body = chat_body("one two three four five", model=model, max_tokens=64, stream=True)
    answer = client.post(path, json=body)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.headers["x-negotiated-model"] == model
    assert b"three" in answer.content
    assert b"four" not in answer.content
    assert answer.content.endswith(b"}\n\n")
    assert b"error" not in answer.content
    assert not answer.content.endswith((b"data: [DONE]\n\n", b'{"type":"message_stop"}\n\n'))


def test_forwards_an_error_inside_an_openai_stream(hub: Hub, client: httpx.Client) -> None:
    hub.play(Play.ERROR_IN_BAND)
    answer = chat(hub, client, stream=True)

    last = json.loads(sse_frames(answer.content)[-1].removeprefix("data: "))
    assert answer.status_code == 200
    assert last["error"]["type"] == "server_error"


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_forwards_an_error_inside_an_anthropic_stream(hub: Hub, client: httpx.Client, path: str) -> None:
    hub.play(Play.ERROR_IN_BAND)
    body = chat_body("one two", model=hub.models.anthropic, max_tokens=64, stream=True)
    answer = client.post(path, json=body)

    assert answer.status_code == 200
    assert sse_frames(answer.content)[-1].startswith('event: error\ndata: {"type":"error"')
