"""Chat streams through relay(): translated if the first event is Anthropic's, else unchanged."""

import json
from collections.abc import Callable, Iterable, Iterator

import pytest

from gateway.core.errors import GatewayError, StreamIdleTimeout
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import END_MARK, KEEP_ALIVE
from gateway.proxy.stream import relay
from gateway.proxy.translate.anthropic import MAX_UNDECIDED_BYTES
from gateway.proxy.translate.chat_stream import read_first_event
from gateway.proxy.usage import Usage
from tests.unit.gateway.anthropic_events import (
    MESSAGE_STOP,
    PING,
    frame,
    frames,
    message_delta,
    message_start,
    stream,
    text_block,
)
from tests.unit.gateway.builders import KEY, a_request
from tests.unit.gateway.streams import BODY, only_error

ERROR = frame({"type": "error", "error": {"type": "overloaded_error", "message": f"Overloaded, key {KEY}"}})
CLAUDE = stream(*text_block(0, "Grü", "ße"))


def relayed(chunks: Iterable[bytes], **changes: object) -> tuple[bytes, RequestLog]:
    log = RequestLog(a_request(stream=True, **changes))
    return b"".join(relay(chunks, log)), log


def text_of(received: bytes) -> str:
    chunks = [json.loads(line[6:]) for line in received.decode().split("\n") if line.startswith("data: {")]
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c.get("choices"))


def test_translates_a_chat_stream_of_anthropic_events() -> None:
    received, log = relayed([CLAUDE])

    assert text_of(received) == "Grüße"
    assert b"event:" not in received
    assert received.endswith(END_MARK)
    assert (log.translated, log.stream_end, log.code) == ("anthropic", "done", None)
    assert (log.usage, log.model_served, log.bytes_down) == (Usage(3, 5), "claude", len(received))


@pytest.mark.parametrize("start", [{"input_tokens": 3}, {"input_tokens": 3, "cache_creation_input_tokens": 20}])
@pytest.mark.parametrize("end", [{}, {"cache_read_input_tokens": 100}, {"input_tokens": 9}])
def test_logs_the_token_counts_that_the_client_receives(start: dict[str, int], end: dict[str, int]) -> None:
    events = [message_start(start), message_delta("end_turn", output_tokens=5, **end), MESSAGE_STOP]

    received, log = relayed([frames(*events)], include_usage=True)

    last_chunk = json.loads(received.decode().split("data: ")[-2])
    assert last_chunk["usage"]["prompt_tokens"] == log.usage.prompt_tokens
    assert last_chunk["usage"]["completion_tokens"] == log.usage.completion_tokens


def test_sends_each_event_at_once() -> None:
    events = [message_start(), *text_block(0, "a", "b"), message_delta("end_turn", output_tokens=5), MESSAGE_STOP]
    taken: list[str] = []

    def chunks() -> Iterator[bytes]:
        for event in events:
            taken.append(event["type"])
            yield frame(event)

    output = relay(chunks(), RequestLog(a_request(stream=True)))

    assert b"assistant" in next(output)
    assert taken == ["message_start"]
    assert b'"a"' in next(output)
    assert taken[-1] == "content_block_delta"
    assert len(taken) == 3


@pytest.mark.parametrize("path", ["/messages", "/chat", "/responses", "/completions"])
def test_translates_no_other_path(path: str) -> None:
    received, log = relayed([CLAUDE], path=path)

    assert received == CLAUDE
    assert log.translated is None


@pytest.mark.parametrize(
    "chunks",
    [
        BODY,
        [b": comment\n\n", frame(PING), *BODY],
        [frame(PING) + BODY[0][:9], BODY[0][9:] + b"".join(BODY[1:])],
        [ERROR + END_MARK],
        [frame(PING), frame(PING) + END_MARK],
        [b": c\n\n" * (MAX_UNDECIDED_BYTES // 4), CLAUDE],
    ],
    ids=["chunks", "comment_and_ping", "cut", "error_first", "pings_only", "long_comments"],
)
def test_other_streams_stay_unchanged(chunks: list[bytes]) -> None:
    received, log = relayed(chunks)

    assert received == b"".join(chunks)
    assert log.translated is None


def test_an_error_as_the_first_event_is_not_translated() -> None:
    received, log = relayed([frame(PING), ERROR])

    assert received.startswith(frame(PING) + ERROR)
    assert (log.translated, log.stream_end, log.code) == (None, "error", "provider_stream_error")


def test_holds_comments_and_pings_until_the_first_event() -> None:
    received, _ = relayed([b": one\n\n", KEEP_ALIVE, frame(PING), CLAUDE])

    assert received.startswith(KEEP_ALIVE * 3 + b"data: {")


def test_a_break_before_the_first_event_passes_on_what_was_held() -> None:
    received, log = relayed([frame(PING)])

    assert received.startswith(frame(PING) + b"data: ")
    assert (log.stream_end, log.translated) == ("truncated", None)


@pytest.mark.parametrize("end", [b"", frame(MESSAGE_STOP), frame(MESSAGE_STOP) + END_MARK])
def test_an_error_event_becomes_the_only_error_frame(end: bytes) -> None:
    received, log = relayed([frames(message_start(), *text_block(0, "a")), ERROR + end])

    error = only_error(received)
    assert error["code"] == "provider_stream_error"
    assert "Overloaded" in str(error["message"])
    assert KEY not in received.decode()
    assert (log.stream_end, log.code) == ("error", "provider_stream_error")


def test_invalid_json_becomes_an_error_frame() -> None:
    received, log = relayed([frame(message_start()) + b"data: {\n\n" + frame(MESSAGE_STOP)])

    assert only_error(received)["code"] == "provider_stream_error"
    assert (log.stream_end, log.code) == ("error", "provider_stream_error")


@pytest.mark.parametrize("size", range(1, len(CLAUDE), 7))
def test_a_cut_translated_stream_ends_with_an_error_frame(size: int) -> None:
    received, log = relayed([CLAUDE[:size]])

    if log.stream_end == "done":
        # Only the blank line after the last event is missing.
        assert size >= len(CLAUDE) - 2
        assert received.endswith(END_MARK)
    else:
        assert only_error(received)["code"] == "stream_truncated"


def test_completes_a_last_event_without_its_blank_line() -> None:
    received, log = relayed([CLAUDE.rstrip(b"\n")])

    assert received.endswith(END_MARK)
    assert log.stream_end == "done"


def test_ends_at_the_end_mark() -> None:
    def chunks() -> Iterator[bytes]:
        yield CLAUDE + frame(PING)
        pytest.fail("reads on after the end mark")

    assert relayed(chunks())[0].endswith(END_MARK)


def test_sends_keep_alives_during_a_translated_stream() -> None:
    start = frames(message_start(), *text_block(0, "a"))

    received, _ = relayed([start, KEEP_ALIVE, frames(message_delta("end_turn"), MESSAGE_STOP)])

    assert received.count(KEEP_ALIVE) == 1


def test_adds_a_usage_chunk_where_the_request_asked_for_it() -> None:
    received, _ = relayed([CLAUDE], include_usage=True)

    assert received.count(b'"usage"') == received.count(b'"choices":[],"usage"') == 1


def broken() -> Iterator[bytes]:
    yield frame(PING)
    raise StreamIdleTimeout("The provider was silent.")


@pytest.mark.parametrize(
    ("chunks", "is_anthropic", "read"),
    [
        (lambda: iter([CLAUDE, b"x"]), True, 1),
        (lambda: iter([frame(PING), CLAUDE[:9], CLAUDE[9:], b"x"]), True, 3),
        (lambda: iter([*BODY]), False, 1),
        (lambda: iter([frame(PING), KEEP_ALIVE, CLAUDE]), False, 2),
        (lambda: iter([]), False, 0),
    ],
)
def test_reads_up_to_the_first_event(chunks: Callable[[], Iterator[bytes]], is_anthropic: bool, read: int) -> None:
    source = chunks()

    decision, replayed = read_first_event(source, 60)

    assert decision is is_anthropic
    assert list(source) == list(chunks())[read:]
    assert list(replayed) == list(chunks())[:read]


def test_stops_reading_pings_after_the_time_limit() -> None:
    source = iter([frame(PING)] * 3)

    assert read_first_event(source, 0)[0] is False
    assert len(list(source)) == 2


def test_replays_an_error_after_the_chunks_before_it() -> None:
    _, replayed = read_first_event(broken(), None)

    assert next(replayed) == frame(PING)
    with pytest.raises(GatewayError, match="silent"):
        next(replayed)
