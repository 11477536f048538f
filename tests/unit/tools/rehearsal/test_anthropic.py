import anthropic
import httpx
import pytest

from tests.rehearsal import KEY, RunningTokenHub, chat_body, sse_frames

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "anthropic/claude-sonnet-4-20250514"])
def test_streams_raw_anthropic_events_for_a_model_of_an_anthropic_provider(client: httpx.Client, model: str) -> None:
    body = chat_body(model=model)

    stream = client.post(CHAT, json=body | {"stream": True}).content
    whole = client.post(CHAT, json=body).json()

    assert sse_frames(stream)[0].startswith("event: message_start\ndata: {")
    assert b"[DONE]" not in stream
    assert whole["object"] == "chat.completion"


def test_anthropic_sdk_reads_thinking_text_and_parallel_tool_calls(tokenhub: RunningTokenHub) -> None:
    with (
        anthropic.Anthropic(base_url=tokenhub.url, auth_token=KEY) as sdk,
        sdk.messages.stream(
            model="rehearse/anthropic_tools", max_tokens=9, messages=[{"role": "user", "content": "Grüße"}]
        ) as stream,
    ):
        message = stream.get_final_message()

    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block.text for block in message.content if block.type == "text"] == ["Grüße"]
    assert [block.input for block in message.content if block.type == "tool_use"] == [{"city": "Zürich"}] * 2
    assert message.stop_reason == "tool_use"


def test_anthropic_sdk_raises_on_the_error_event(tokenhub: RunningTokenHub) -> None:
    with (
        anthropic.Anthropic(base_url=tokenhub.url, auth_token=KEY, max_retries=0) as sdk,
        pytest.raises(anthropic.APIStatusError, match="overloaded_error"),
        sdk.messages.stream(
            model="rehearse/anthropic_error", max_tokens=9, messages=[{"role": "user", "content": "a b"}]
        ) as stream,
    ):
        stream.get_final_message()
