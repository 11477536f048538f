"""What the two SDKs make of a relayed stream: they raise on one that is not whole, and never otherwise."""

import json
from collections.abc import Generator, Iterable

import anthropic
import openai
import pytest

from gateway.core.errors import StreamTruncated
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.stream import relay
from tests.scripted_server import Cut, ScriptedServer, always
from tests.unit.gateway.builders import a_request
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.streams import BODY

ANTHROPIC: list[dict[str, object]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüße"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
CLAUDE = "".join(f"event: {e['type']}\ndata: {json.dumps(e, ensure_ascii=False)}\n\n" for e in ANTHROPIC).encode()
CHAT = b"".join(BODY)


def relayed(serve: Serve, stream: bytes, *, breaks: bool, path: str = "/chat/completions") -> ScriptedServer:
    pieces = (stream[start : start + 50] for start in range(0, len(stream), 50))
    return relayed_chunks(serve, pieces, breaks=breaks, path=path)


def relayed_chunks(
    serve: Serve, chunks: Iterable[bytes], *, breaks: bool, path: str = "/chat/completions"
) -> ScriptedServer:
    def source() -> Generator[bytes]:
        yield from chunks
        if breaks:
            raise StreamTruncated

    body = b"".join(relay(source(), RequestLog(a_request(stream=True, path=path))))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return serve(always(head + body, Cut.CLOSE))


def ask_openai(server: ScriptedServer) -> str:
    with openai.OpenAI(base_url=server.url, api_key="token", max_retries=0) as client:
        stream = client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "hi"}], stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def ask_anthropic(server: ScriptedServer) -> str:
    origin = server.url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=origin, auth_token="token", max_retries=0) as client:
        stream = client.messages.create(
            model="claude", max_tokens=9, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        deltas = [event.delta for event in stream if event.type == "content_block_delta"]
        return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def test_openai_sdk_reads_a_whole_stream(serve: Serve) -> None:
    assert ask_openai(relayed(serve, CHAT, breaks=False)) == "Grüße"


def test_anthropic_sdk_reads_a_whole_stream(serve: Serve) -> None:
    assert ask_anthropic(relayed(serve, CLAUDE, breaks=False, path="/messages")) == "Grüße"


@pytest.mark.parametrize("breaks", [True, False])
@pytest.mark.parametrize("cut", [0, 20, len(BODY[0]), len(BODY[0]) + 9, len(BODY[0] + BODY[1])])
def test_openai_sdk_raises_on_a_truncated_stream(serve: Serve, cut: int, breaks: bool) -> None:
    with pytest.raises(openai.APIError, match="before it was complete"):
        ask_openai(relayed(serve, CHAT[:cut], breaks=breaks))


@pytest.mark.parametrize("breaks", [True, False])
@pytest.mark.parametrize("cut", [0, 40, CLAUDE.index(b"event: content_block_stop"), len(CLAUDE) - 3])
def test_anthropic_sdk_raises_on_a_truncated_stream(serve: Serve, cut: int, breaks: bool) -> None:
    with pytest.raises(anthropic.APIError, match="before it was complete"):
        ask_anthropic(relayed(serve, CLAUDE[:cut], breaks=breaks, path="/messages"))


def silent_often(stream: bytes) -> list[bytes]:
    """A stream whose events have ids, with two keep-alives in each event and after it."""
    events = [b"id: %d\n%b\n\n" % (number, event) for number, event in enumerate(stream.split(b"\n\n")[:-1])]
    return [piece for event in events for piece in (event[:9], *[KEEP_ALIVE] * 2, event[9:], *[KEEP_ALIVE] * 2)]


def test_sdks_skip_keep_alives_between_events_with_ids(serve: Serve) -> None:
    assert ask_openai(relayed_chunks(serve, silent_often(CHAT), breaks=False)) == "Grüße"
    assert ask_anthropic(relayed_chunks(serve, silent_often(CLAUDE), breaks=False, path="/messages")) == "Grüße"


@pytest.mark.parametrize("events", [0, 1])
def test_sdks_raise_on_an_error_after_keep_alives(serve: Serve, events: int) -> None:
    chat, claude = (silent_often(stream)[: 6 * events] or [KEEP_ALIVE] for stream in (CHAT, CLAUDE))
    with pytest.raises(openai.APIError, match="before it was complete"):
        ask_openai(relayed_chunks(serve, chat, breaks=True))
    with pytest.raises(anthropic.APIError, match="before it was complete"):
        ask_anthropic(relayed_chunks(serve, claude, breaks=True, path="/messages"))


def test_openai_sdk_accepts_a_break_after_done(serve: Serve) -> None:
    assert ask_openai(relayed(serve, CHAT, breaks=True)) == "Grüße"
    assert ask_anthropic(relayed(serve, CLAUDE, breaks=True, path="/messages")) == "Grüße"
