"""What TokenHub sends to the model's provider, and what it drops (docs/tokenhub.md, 1.1)."""

from typing import Any

import httpx
import pytest

from tests.conformance.hub import Hub
from tests.rehearsal import chat_body
from tests.template import ROOT

CHAT = "/v1/chat/completions"
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
FORWARDED: dict[str, Any] = {
    "temperature": 0.5,
    "max_tokens": 64,
    "top_p": 0.5,
    "stop": ["END"],
    "n": 1,
    "tools": [TOOL],
    "tool_choice": "auto",
}
DROPPED: dict[str, Any] = {
    "response_format": {"type": "json_object"},
    "stream_options": {"include_usage": True},
    "seed": 7,
    "max_completion_tokens": 64,
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "logprobs": True,
    "top_logprobs": 2,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "logit_bias": {"1": 1},
    "user": "someone",
    "metadata": {"a": "b"},
    "store": True,
    "service_tier": "flex",
    "prediction": {"type": "content", "content": "x"},
    "modalities": ["text"],
    "functions": [TOOL["function"]],
    "top_k": 5,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "x_unknown": 1,
}


def test_errors_page_lists_every_dropped_field() -> None:
    section = (ROOT / "docs/errors.md").read_text().split("## Fields that TokenHub drops", 1)[1].split("\n## ", 1)[0]

    assert [name for name in (*FORWARDED, *DROPPED) if f"`{name}`" not in section and name != "x_unknown"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_chat_forwards_ten_fields_and_drops_all_others(hub: Hub, client: httpx.Client, stream: bool) -> None:
    body = chat_body("hi", model=hub.models.openai, stream=stream, **FORWARDED, **DROPPED)

    assert client.post(CHAT, json=body).status_code == 200

    expected = {"model": hub.models.openai, "messages": [{"role": "user", "content": "hi"}], **FORWARDED}
    assert hub.forwarded() == expected | ({"stream": True} if stream else {})


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_model_gets_a_system_prompt_and_max_tokens(hub: Hub, client: httpx.Client, stream: bool) -> None:
    messages = [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]
    body = {"model": hub.models.anthropic, "messages": messages, "stream": stream, "tools": [TOOL], **DROPPED}

    assert client.post(CHAT, json=body).status_code == 200

    expected: dict[str, Any] = {"model": hub.models.anthropic, "max_tokens": 4096, "system": "be", "tools": [TOOL]}
    expected["messages"] = [{"role": "user", "content": "hi"}]
    assert hub.forwarded() == expected | ({"stream": True} if stream else {})


def test_joins_text_parts_and_drops_images(hub: Hub, client: httpx.Client) -> None:
    parts = [
        {"type": "text", "text": "one"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "text", "text": " two"},
    ]
    answer = client.post(CHAT, json={"model": hub.models.openai, "messages": [{"role": "user", "content": parts}]})

    assert answer.json()["choices"][0]["message"]["content"] == "one two"
    assert hub.forwarded()["messages"] == [{"role": "user", "content": "one two"}]


def test_openai_model_gets_tool_calls_and_their_results(hub: Hub, client: httpx.Client) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "hi", "name": "someone"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
    ]

    assert client.post(CHAT, json={"model": hub.models.openai, "messages": messages}).status_code == 200

    assert hub.forwarded()["messages"] == messages


def test_anthropic_model_loses_tool_calls_and_their_ids(hub: Hub, client: httpx.Client) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
    ]

    client.post(CHAT, json={"model": hub.models.anthropic, "messages": messages})

    assert hub.forwarded()["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": "sunny"},
    ]


def test_own_chat_route_forwards_all_parameters(hub: Hub, client: httpx.Client) -> None:
    parameters = {"response_format": {"type": "json_object"}, "seed": 7, "max_tokens": 64}
    request = chat_body("hi", model_hint=hub.models.openai, parameters=parameters)

    assert client.post("/v1/chat", json={"request": request}).status_code == 200

    expected = {"model": hub.models.openai, "messages": [{"role": "user", "content": "hi"}], **parameters}
    assert hub.forwarded() == expected


@pytest.mark.parametrize("stream", [False, True])
def test_messages_forwards_the_whole_body(hub: Hub, client: httpx.Client, stream: bool) -> None:
    parts = [{"type": "text", "text": "hi"}, {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/"}}]
    body: dict[str, Any] = {"model": f"anthropic/{hub.models.anthropic}", "max_tokens": 64, "stream": stream}
    body |= {"messages": [{"role": "user", "content": parts}], "thinking": {"type": "disabled"}, "top_k": 5}

    assert client.post("/v1/messages", json=body).status_code == 200

    assert hub.forwarded() == body | {"model": hub.models.anthropic}
