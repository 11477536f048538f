"""The OpenAI SDK reads from a translated stream what the Anthropic SDK reads from the original."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import ProviderError
from gateway.proxy.error_frames import error_frame
from gateway.proxy.translate.anthropic import AnthropicTranslator
from tests.scripted_server import ScriptedServer, always, response
from tests.unit.gateway.anthropic_events import (
    MESSAGE_STOP,
    Json,
    frame,
    frames,
    message_delta,
    message_start,
    text_block,
    tool_block,
)
from tests.unit.gateway.proxy.translate.strategies import events


@dataclass
class Answer:
    """What a client sees of an answer. `tools` are id, name and input; `usage` is prompt, cached and completion."""

    text: str
    reasoning: str
    tools: list[tuple[str, str, Any]]
    usage: tuple[int, int, int]
    model: str = field(default="claude")


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(always()) as running:
        yield running


@pytest.fixture(scope="module")
def openai_sdk(server: ScriptedServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="token", max_retries=0) as sdk:
        yield sdk


@pytest.fixture(scope="module")
def anthropic_sdk(server: ScriptedServer) -> Iterator[anthropic.Anthropic]:
    origin = server.url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=origin, auth_token="token", max_retries=0) as sdk:
        yield sdk


def stream_error(_: object) -> ProviderError:
    return ProviderError(502, "The model's provider is overloaded.", code="provider_stream_error", retryable=True)


def translated(stream: bytes, *, include_usage: bool) -> bytes:
    translator = AnthropicTranslator(created=7, include_usage=include_usage, stream_error=stream_error)
    out = b""
    try:
        for data in translator.feed(stream):
            out += data
    except ProviderError as error:
        out += error_frame(error)
    return out


def ask_openai(sdk: openai.OpenAI, *, include_usage: bool) -> Answer:
    options: Any = {"stream_options": {"include_usage": True}} if include_usage else {}
    with sdk.chat.completions.stream(model="claude", messages=[{"role": "user", "content": "hi"}], **options) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
        # get_final_completion() raises where the finish reason is length or content_filter.
        completion = stream.current_completion_snapshot
    message = completion.choices[0].message
    calls = [call for call in message.tool_calls or [] if call.type == "function"]
    tools = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    assert usage.prompt_tokens_details is not None
    counts = (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens or 0, usage.completion_tokens)
    reasoning = getattr(message, "reasoning_content", None) or ""
    return Answer(message.content or "", reasoning, tools, counts, completion.model)


def ask_anthropic(sdk: anthropic.Anthropic) -> Answer:
    with sdk.messages.stream(model="claude", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream:
        message = stream.get_final_message()
    text = "".join(block.text for block in message.content if block.type == "text")
    reasoning = "".join(block.thinking for block in message.content if block.type == "thinking")
    tools: list[tuple[str, str, Any]] = [(b.id, b.name, b.input) for b in message.content if b.type == "tool_use"]
    usage, cached = message.usage, message.usage.cache_read_input_tokens or 0
    prompt = usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0)
    return Answer(text, reasoning, tools, (prompt, cached, usage.output_tokens), message.model)


@settings(max_examples=12, deadline=None)
@given(message=events(), include_usage=st.booleans())
def test_openai_sdk_reads_what_the_anthropic_sdk_reads(
    server: ScriptedServer,
    openai_sdk: openai.OpenAI,
    anthropic_sdk: anthropic.Anthropic,
    message: list[Json],
    include_usage: bool,
) -> None:
    original = frames(*message)
    server.script = always(*response((original,)))
    expected = ask_anthropic(anthropic_sdk)

    server.script = always(*response((translated(original, include_usage=include_usage),)))

    assert ask_openai(openai_sdk, include_usage=include_usage) == expected


def test_openai_sdk_reads_text_and_parallel_tools(server: ScriptedServer, openai_sdk: openai.OpenAI) -> None:
    first, second = tool_block(1, "weather", '{"city": "Zü', 'rich"}'), tool_block(2, "time")
    content = [*text_block(0, "Grü", "ße"), first[0], second[0], *first[1:], *second[1:]]
    end = [message_delta("tool_use", output_tokens=5), MESSAGE_STOP]
    original = frames(message_start(), *content, *end)
    server.script = always(*response((translated(original, include_usage=False),)))

    tools = [("toolu_1", "weather", {"city": "Zürich"}), ("toolu_2", "time", {})]
    assert ask_openai(openai_sdk, include_usage=False) == Answer("Grüße", "", tools, (3, 0, 5))


ERROR: Json = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize(
    "end", [frame(ERROR), frame(ERROR) + frame(MESSAGE_STOP), b"data: {\n\n" + frame(MESSAGE_STOP)]
)
def test_openai_sdk_raises_on_an_error_event(server: ScriptedServer, openai_sdk: openai.OpenAI, end: bytes) -> None:
    original = frames(message_start(), *text_block(0, "Grü")) + end
    server.script = always(*response((translated(original, include_usage=False),)))

    with pytest.raises(openai.APIError, match="overloaded"):
        ask_openai(openai_sdk, include_usage=False)
