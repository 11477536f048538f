from collections.abc import Generator, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import (
    DeadlineExceeded,
    GatewayError,
    ProviderDisconnected,
    StreamIdleTimeout,
    StreamTruncated,
)
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import KEEP_ALIVE, MAX_FRAME_BYTES, Usage
from gateway.proxy.stream import relay
from tests.unit.gateway.builders import BRIEFLY, a_request
from tests.unit.gateway.streams import BODY, UNFINISHED, only_error


class Chunks:
    """A provider's chunks, the error that ends them, and whether they were closed."""

    def __init__(self, *chunks: bytes, error: BaseException | None = None) -> None:
        self.closed = False
        self._chunks, self._error = chunks, error

    def __call__(self) -> Generator[bytes]:
        self._held = self._generate()  # else the end of the last reference would close it
        return self._held

    def _generate(self) -> Generator[bytes]:
        try:
            yield from self._chunks
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


def relayed(
    *chunks: bytes, error: BaseException | None = None, record: RequestLog | None = None
) -> tuple[bytes, RequestLog]:
    """What a client gets, and the record. The chunks have to be closed afterwards."""
    record = record or RequestLog(a_request(stream=True))
    source = Chunks(*chunks, error=error)
    got = b"".join(relay(source(), record))
    assert source.closed
    return got, record


def test_a_whole_stream_comes_down_byte_for_byte() -> None:
    got, record = relayed(*BODY)
    assert got == b"".join(BODY)
    assert (record.stream_end, record.code) == ("done", None)
    assert (record.bytes_down, record.chunks, record.model_served) == (len(got), 4, "echo")


def test_a_stream_without_done_is_whole_when_it_finished_and_ended_cleanly() -> None:
    got, record = relayed(*BODY[:-1])
    assert (got, record.stream_end) == (b"".join(BODY[:-1]), "done")


def test_a_tail_without_its_blank_line_comes_down_at_a_whole_clean_end() -> None:
    got, record = relayed(*BODY[:-1], b"data: [DONE]\n")
    assert (got, record.stream_end) == (b"".join(BODY[:-1]) + b"data: [DONE]\n", "done")
    assert record.bytes_down == len(got)


@BRIEFLY
@given(st.data())
def test_a_stream_cut_anywhere_ends_with_one_error_and_whole_frames_before_it(data: st.DataObject) -> None:
    stream = b"".join(UNFINISHED)
    cut = data.draw(st.integers(0, len(stream)))
    pieces = data.draw(st.integers(1, 40).map(lambda size: [stream[i : i + size] for i in range(0, cut, size)]))
    got, record = relayed(*pieces[:-1], *(piece[: cut % len(piece) or None] for piece in pieces[-1:]))
    assert only_error(got)["code"] == "stream_truncated"
    assert stream.startswith(got[: got.index(b"event: error")])
    assert record.stream_end == "truncated"


ENDS = [
    (StreamTruncated(), "truncated", "stream_truncated"),
    (StreamIdleTimeout("silent"), "idle_timeout", "stream_idle_timeout"),
    (DeadlineExceeded("late"), "deadline", "deadline"),
    (ProviderDisconnected("gone"), "error", "provider_disconnected"),
]


@pytest.mark.parametrize(("error", "end", "code"), ENDS)
def test_each_way_to_break_off_has_its_own_end_and_its_own_code(error: GatewayError, end: str, code: str) -> None:
    got, record = relayed(*UNFINISHED, b"data: {", error=error)
    told = only_error(got)
    assert got.startswith(b"".join(UNFINISHED) + b"event: error\n")
    assert (told["code"], told["message"], told["source"]) == (code, error.message, "gateway")
    assert (told["status"], told["retryable"]) == (error.status, error.retryable)
    assert (record.stream_end, record.code) == (end, code)


@pytest.mark.parametrize("error", [error for error, _, _ in ENDS])
def test_a_stream_that_breaks_off_after_its_done_is_done(error: GatewayError) -> None:
    got, record = relayed(*BODY, error=error)
    assert (got, record.stream_end, record.code) == (b"".join(BODY), "done", None)


def test_a_stream_that_breaks_off_after_its_last_finish_reason_did_not_end_cleanly() -> None:
    got, record = relayed(*BODY[:-1], error=StreamTruncated())
    assert only_error(got)["code"] == "stream_truncated"
    assert record.stream_end == "truncated"


def test_a_stream_without_a_single_byte_is_truncated() -> None:
    got, record = relayed()
    assert got.startswith(b"event: error\n")
    assert (record.stream_end, record.ttfb_ms) == ("truncated", None)


def test_every_choice_that_was_asked_for_has_to_finish() -> None:
    _, record = relayed(*BODY[:-1], record=RequestLog(a_request(stream=True, choices=2)))
    assert record.stream_end == "truncated"


def test_anthropics_stream_is_whole_with_its_message_stop() -> None:
    start = b'event: message_start\ndata: {"type": "message_start", "message": {"model": "claude"}}\n\n'
    stop = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
    assert relayed(start, stop)[1].stream_end == "done"
    assert relayed(start)[1].stream_end == "truncated"


def test_model_and_usage_are_known_afterwards_even_of_a_broken_stream() -> None:
    usage = b'data: {"model": "echo", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}\n\n'
    _, record = relayed(usage, error=StreamTruncated())
    assert (record.usage, record.model_served) == (Usage(3, 5), "echo")


def test_a_keep_alive_goes_between_frames_and_is_not_counted() -> None:
    head, rest = BODY[0][:7], BODY[0][7:]
    got, record = relayed(KEEP_ALIVE, head, KEEP_ALIVE, rest, *BODY[1:])
    assert got == KEEP_ALIVE + KEEP_ALIVE + b"".join(BODY)
    assert (record.chunks, record.bytes_down) == (4, len(b"".join(BODY)))


def test_a_keep_alive_never_goes_into_a_frame_that_is_passed_on_in_pieces() -> None:
    long = b"data: " + b"x" * MAX_FRAME_BYTES
    got, _ = relayed(long, KEEP_ALIVE, b"y\n\n", KEEP_ALIVE, *BODY)
    assert got == long + b"y\n\n" + KEEP_ALIVE + b"".join(BODY)


def test_an_error_after_part_of_a_frame_begins_with_a_blank_line() -> None:
    long = b"data: " + b"x" * MAX_FRAME_BYTES
    got, _ = relayed(long, error=StreamTruncated())
    assert got.startswith(long + b"\n\nevent: error\n")


def test_each_chunk_goes_down_before_the_next_one_is_asked_for() -> None:
    asked: list[int] = []

    def chunks() -> Generator[bytes]:
        for number, chunk in enumerate(BODY):
            asked.append(number)
            yield chunk

    got: Iterator[bytes] = relay(chunks(), RequestLog(a_request(stream=True)))
    for number, chunk in enumerate(BODY):
        assert next(got) == chunk
        assert asked[-1] == number


def left(source: Chunks, after: int) -> RequestLog:
    record = RequestLog(a_request(stream=True))
    got = relay(source(), record)
    for _ in range(after):
        next(got)
    got.close()
    return record


def test_a_client_that_leaves_closes_the_chunks_and_is_told_so() -> None:
    source = Chunks(*BODY)
    record = left(source, after=2)
    assert source.closed
    assert (record.stream_end, record.code, record.model_served) == ("client_gone", None, "echo")


def test_a_client_that_leaves_after_done_had_it_all() -> None:
    source = Chunks(*BODY, b": more\n\n")
    assert left(source, after=4).stream_end == "done"
    assert source.closed


def test_an_error_that_is_not_foreseen_closes_the_chunks_too() -> None:
    source = Chunks(*UNFINISHED, error=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        b"".join(relay(source(), RequestLog(a_request(stream=True))))
    assert source.closed


def test_the_time_to_the_first_byte_is_that_of_the_first_frame() -> None:
    times = iter([0.0, 1.5, 2.0, 2.5, 3.0])
    record = replace(RequestLog(a_request(stream=True), clock=lambda: next(times)))
    record.began = 0.0
    list(relay(Chunks(KEEP_ALIVE, *BODY)(), record))
    assert record.ttfb_ms is not None
    assert record.ttfb_ms > 0
