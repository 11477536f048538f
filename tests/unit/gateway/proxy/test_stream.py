import itertools
from collections.abc import Generator, Iterator

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
from gateway.proxy.frames import MAX_BUFFERED_FRAME_BYTES
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.stream import relay
from gateway.proxy.usage import Usage
from tests.unit.gateway.builders import BRIEFLY, a_request
from tests.unit.gateway.streams import BODY, UNFINISHED, only_error


def provider(*chunks: bytes, error: BaseException | None = None) -> Generator[bytes]:
    """The chunks that a provider sends, and the error that ends them."""
    yield from chunks
    if error is not None:
        raise error


def relayed(
    *chunks: bytes, error: BaseException | None = None, log: RequestLog | None = None
) -> tuple[bytes, RequestLog]:
    """What the client receives, and the log of the request."""
    log = log or RequestLog(a_request(stream=True))
    output = b"".join(relay(provider(*chunks, error=error), log))
    return output, log


def test_relays_a_whole_stream_unchanged() -> None:
    output, log = relayed(*BODY)
    assert output == b"".join(BODY)
    assert (log.stream_end, log.code) == ("done", None)
    assert (log.bytes_down, log.chunks, log.model_served) == (len(output), 4, "echo")


def test_accepts_a_finished_stream_without_done() -> None:
    output, log = relayed(*BODY[:-1])
    assert (output, log.stream_end) == (b"".join(BODY[:-1]), "done")


def test_adds_the_blank_line_to_an_end_mark() -> None:
    output, log = relayed(*BODY[:-1], b"data: [DONE]\n")
    assert (output, log.stream_end) == (b"".join(BODY), "done")
    assert log.bytes_down == len(output)


@BRIEFLY
@given(st.data())
def test_ends_a_stream_cut_anywhere_with_whole_frames_and_one_error(data: st.DataObject) -> None:
    stream = b"".join(UNFINISHED)
    cut = data.draw(st.integers(0, len(stream)))
    pieces = data.draw(st.integers(1, 40).map(lambda size: [stream[i : i + size] for i in range(0, cut, size)]))
    output, log = relayed(*pieces[:-1], *(piece[: cut % len(piece) or None] for piece in pieces[-1:]))
    assert only_error(output)["code"] == "stream_truncated"
    assert stream.startswith(output[: output.index(b'data: {"error": ')])
    assert log.stream_end == "truncated"


ENDS = [
    (StreamTruncated(), "truncated", "stream_truncated"),
    (StreamIdleTimeout("silent"), "idle_timeout", "stream_idle_timeout"),
    (DeadlineExceeded("late"), "deadline", "deadline"),
    (ProviderDisconnected("gone"), "error", "provider_disconnected"),
]


@pytest.mark.parametrize(("error", "end", "code"), ENDS)
def test_logs_end_and_code_for_each_way_to_break(error: GatewayError, end: str, code: str) -> None:
    output, log = relayed(*UNFINISHED, b"data: {", error=error)
    error_fields = only_error(output)
    assert output.startswith(b"".join(UNFINISHED) + b'data: {"error": {')
    assert (error_fields["code"], error_fields["message"], error_fields["source"]) == (code, error.message, "gateway")
    assert (error_fields["status"], error_fields["retryable"]) == (error.status, error.retryable)
    assert (log.stream_end, log.code) == (end, code)


@pytest.mark.parametrize("error", [error for error, _, _ in ENDS])
def test_ignores_a_break_after_done(error: GatewayError) -> None:
    output, log = relayed(*BODY, error=error)
    assert (output, log.stream_end, log.code) == (b"".join(BODY), "done", None)


def test_treats_a_break_after_the_finish_reason_as_truncated() -> None:
    output, log = relayed(*BODY[:-1], error=StreamTruncated())
    assert only_error(output)["code"] == "stream_truncated"
    assert log.stream_end == "truncated"


def test_treats_an_empty_stream_as_truncated() -> None:
    output, log = relayed()
    assert output.startswith(b'data: {"error": {')
    assert (log.stream_end, log.ttfb_ms) == ("truncated", None)


def test_requires_a_finish_reason_for_every_requested_choice() -> None:
    _, log = relayed(*BODY[:-1], log=RequestLog(a_request(stream=True, choices=2)))
    assert log.stream_end == "truncated"


def test_accepts_message_stop_as_the_end_of_an_anthropic_stream() -> None:
    start = b'event: message_start\ndata: {"type": "message_start", "message": {"model": "claude"}}\n\n'
    stop = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
    assert relayed(start, stop)[1].stream_end == "done"
    assert relayed(start)[1].stream_end == "truncated"


def test_logs_model_and_usage_of_a_broken_stream() -> None:
    usage = b'data: {"model": "echo", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}\n\n'
    _, log = relayed(usage, error=StreamTruncated())
    assert (log.usage, log.model_served) == (Usage(3, 5), "echo")


def test_sends_keep_alives_between_frames_without_counting_them() -> None:
    head, rest = BODY[0][:7], BODY[0][7:]
    output, log = relayed(KEEP_ALIVE, head, KEEP_ALIVE, rest, *BODY[1:])
    assert output == KEEP_ALIVE + KEEP_ALIVE + b"".join(BODY)
    assert (log.chunks, log.bytes_down) == (4, len(b"".join(BODY)))


def test_never_sends_a_keep_alive_inside_an_oversized_frame() -> None:
    long = b"data: " + b"x" * MAX_BUFFERED_FRAME_BYTES
    output, _ = relayed(long, KEEP_ALIVE, b"y\n\n", KEEP_ALIVE, *BODY)
    assert output == long + b"y\n\n" + KEEP_ALIVE + b"".join(BODY)


def test_sends_no_keep_alive_after_the_end_mark() -> None:
    output, _ = relayed(*BODY, KEEP_ALIVE, KEEP_ALIVE)
    assert output == b"".join(BODY)


def test_sends_no_keep_alive_between_the_cr_and_the_lf_of_a_blank_line() -> None:
    frame = UNFINISHED[0].replace(b"\n", b"\r\n")
    output, _ = relayed(frame[:-1], KEEP_ALIVE, frame[-1:] + UNFINISHED[1], KEEP_ALIVE, *BODY[2:])
    assert output == frame + UNFINISHED[1] + KEEP_ALIVE + b"".join(BODY[2:])


def test_an_error_after_a_keep_alive_is_one_frame() -> None:
    output, _ = relayed(UNFINISHED[0], KEEP_ALIVE, KEEP_ALIVE, error=StreamTruncated())
    assert only_error(output)["code"] == "stream_truncated"
    assert output.startswith(UNFINISHED[0] + KEEP_ALIVE * 2 + b"data: ")
    assert output.count(b"\n\n") == 2


def test_starts_the_error_with_a_blank_line_after_a_partial_frame() -> None:
    long = b"data: " + b"x" * MAX_BUFFERED_FRAME_BYTES
    output, _ = relayed(long, error=StreamTruncated())
    assert output.startswith(long + b'\n\ndata: {"error": {')


def test_relays_each_chunk_before_reading_the_next() -> None:
    asked: list[int] = []

    def chunks() -> Generator[bytes]:
        for number, chunk in enumerate(BODY):
            asked.append(number)
            yield chunk

    output: Iterator[bytes] = relay(chunks(), RequestLog(a_request(stream=True)))
    for number, chunk in enumerate(BODY):
        assert next(output) == chunk
        assert asked[-1] == number


def left(source: Generator[bytes], after: int) -> RequestLog:
    """The log of a request whose client leaves after some chunks."""
    log = RequestLog(a_request(stream=True))
    output = relay(source, log)
    for _ in range(after):
        next(output)
    output.close()
    return log


def test_logs_a_client_that_leaves() -> None:
    log = left(provider(*BODY), after=2)
    assert (log.stream_end, log.code, log.model_served) == ("client_gone", None, "echo")


def test_logs_no_provisional_count_for_a_client_that_leaves() -> None:
    usage = b'{"input_tokens": 3, "output_tokens": 1}'
    start = b'data: {"type": "message_start", "message": {"model": "claude", "usage": ' + usage + b"}}\n\n"
    assert left(provider(start, *BODY), after=1).usage == Usage(3, None)


def test_logs_done_for_a_client_that_leaves_after_the_end_mark() -> None:
    assert left(provider(*BODY, b": more\n\n"), after=4).stream_end == "done"


def test_raises_unexpected_errors() -> None:
    with pytest.raises(ZeroDivisionError):
        b"".join(relay(provider(*UNFINISHED, error=ZeroDivisionError()), RequestLog(a_request(stream=True))))


def test_first_byte_time_is_that_of_the_first_frame() -> None:
    times = itertools.count(0.0, 1.5)
    log = RequestLog(a_request(stream=True), clock=lambda: next(times))
    list(relay(provider(KEEP_ALIVE, *BODY), log))
    assert log.ttfb_ms == 1500
