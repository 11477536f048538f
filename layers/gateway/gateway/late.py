"""A stream whose head is late: the 200 goes down without it, so that no hop takes the silence for an end."""

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future

from gateway.answers import take
from gateway.errors import DeadlineExceeded, GatewayError, NotAStream
from gateway.record import Record
from gateway.refusals import LONGEST_BODY, refusal
from gateway.relay import end_of, relay
from gateway.sse import KEEP_ALIVE, error_frame
from gateway.upstream import Answer, Target

Head = Future[tuple[Target, Answer]]
HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache"}


def late_stream(
    head: Head, chunks_of: Callable[[Answer], Generator[bytes]], record: Record, *, every: float, deadline: float
) -> Generator[bytes]:
    """Comments every so many seconds until the head is there, then the stream, or its error in band."""
    record.status, record.stream_end = 200, "client_gone"
    try:
        yield from _silence(head, every, deadline)
        record.target, answer = head.result()
        yield from relay(_stream(answer, chunks_of(answer), record.target), record)
    except GatewayError as error:
        record.code, record.stream_end = error.code, end_of(error)
        yield error_frame(error)
    finally:
        head.add_done_callback(_discard)


def _silence(head: Head, every: float, deadline: float) -> Generator[bytes]:
    while not head.done():
        yield KEEP_ALIVE
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("The provider had not begun to answer in the time that the gateway can wait.")
        try:
            head.exception(timeout=min(every, left))
        except TimeoutError:
            continue


def _stream(answer: Answer, chunks: Generator[bytes], target: Target) -> Generator[bytes]:
    """The chunks of an answer that is the stream that was asked for; any other answer is an error."""
    if answer.status >= 400:
        words, _ = take(chunks, most=LONGEST_BODY)
        raise refusal(answer.status, words, [target.key] if target.key else [])
    if not answer.is_stream:
        raise NotAStream
    yield from chunks


def _discard(head: Head) -> None:
    """Nobody reads on: the provider shall not go on either. Closing what is closed already does nothing."""
    if head.exception() is None:
        _, answer = head.result()
        answer.hang_up()
