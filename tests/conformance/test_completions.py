"""Answers of the completion routes when the model's provider works (docs/tokenhub.md, 1.1, 1.3 and 2.1)."""

import json
from typing import Any

import httpx
import pytest

from tests.conformance.hub import Hub
from tests.rehearsal import chat_body, sse_frames, streamed_text

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
TEXT = "Grüße aus Zürich, 東京 und 🚀 im All"


def anthropic_events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame.split("data: ", 1)[1]) for frame in sse_frames(body)]


def anthropic_text(body: bytes) -> str:
    deltas = [event["delta"] for event in anthropic_events(body) if event["type"] == "content_block_delta"]
    return "".join(delta["text"] for delta in deltas)


def test_completion_keeps_the_choices_and_counts_the_tokens(hub: Hub, client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body(TEXT, model=hub.models.openai), headers={"X-Request-ID": "conform-1"})

    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-negotiated-model"] == body["model"] == hub.models.openai
    assert set(body) == {"id", "object", "created", "model", "choices", "usage"}
    assert (body["id"], body["object"]) == ("chatcmpl-conform-1", "chat.completion")
    assert body["choices"][0]["message"]["content"] == TEXT
    assert set(body["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}


def test_drops_the_providers_headers_and_the_request_id(hub: Hub, client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body(model=hub.models.openai), headers={"X-Request-ID": "conform-2"})

    assert not {"server", "x-request-id", "openai-processing-ms", "retry-after"} & set(answer.headers)


def test_stream_of_an_openai_model_consists_of_chunks_and_done(hub: Hub, client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body(TEXT, model=hub.models.openai, stream=True))

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["x-negotiated-model"] == hub.models.openai
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert streamed_text(answer.content) == TEXT


def test_completion_of_an_anthropic_model_has_openais_shape(hub: Hub, client: httpx.Client) -> None:
    answer = client.post(CHAT, json=chat_body(TEXT, model=hub.models.anthropic))

    body = answer.json()
    assert answer.headers["x-negotiated-model"] == body["model"] == hub.models.anthropic
    assert body["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": TEXT},
        "finish_reason": "stop",
    }
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]


@pytest.mark.parametrize("path", [CHAT, "/v1/chat", MESSAGES])
def test_stream_of_an_anthropic_model_consists_of_raw_anthropic_events(
    hub: Hub, client: httpx.Client, path: str
) -> None:
    body = chat_body(TEXT, model=hub.models.anthropic, model_hint=hub.models.anthropic, stream=True, max_tokens=64)
    answer = client.post(path, json={"request": body} if path == "/v1/chat" else body)

    events = anthropic_events(answer.content)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-negotiated-model"] == hub.models.anthropic
    assert (events[0]["type"], events[-1]) == ("message_start", {"type": "message_stop"})
    assert sse_frames(answer.content)[0].startswith("event: message_start\ndata: {")
    assert anthropic_text(answer.content) == TEXT
    assert b"[DONE]" not in answer.content


def test_messages_forwards_the_providers_message(hub: Hub, client: httpx.Client) -> None:
    answer = client.post(MESSAGES, json=chat_body(TEXT, model=hub.models.anthropic, max_tokens=64))

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-negotiated-model"] == hub.models.anthropic
    assert answer.json()["content"] == [{"type": "text", "text": TEXT}]
    assert (answer.json()["type"], answer.json()["stop_reason"]) == ("message", "end_turn")


def test_embeddings_forwards_the_providers_list(hub: Hub, client: httpx.Client) -> None:
    answer = client.post("/v1/embeddings", json={"model": hub.models.embedding, "input": "one"})

    assert answer.headers["x-negotiated-model"] == hub.models.embedding
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["data"][0]["object"] == "embedding"
    assert hub.forwarded()["input"] == "one"


def test_own_chat_route_wraps_the_providers_answer_as_plain_text(hub: Hub, client: httpx.Client) -> None:
    answer = client.post("/v1/chat", json={"request": chat_body(TEXT, model_hint=hub.models.openai)})

    body = answer.json()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-negotiated-model"] == body["negotiated_model"] == hub.models.openai
    assert {"negotiated_model", "estimated_cost_usd", "routing_reason", "response"} <= set(body)
    assert body["response"]["choices"][0]["message"]["content"] == TEXT


def test_plan_sends_json_without_naming_the_model_in_a_header(hub: Hub, client: httpx.Client) -> None:
    request = chat_body(TEXT, model_hint=hub.models.openai, stream=True)
    answer = client.post("/v1/plan", json={"request": request, "orchestration": {"mode": "planning"}})

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert "x-negotiated-model" not in answer.headers
    assert "response" in answer.json()
