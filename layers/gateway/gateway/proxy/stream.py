"""A stream on its way down: whole frames, and one honest end."""

from collections.abc import Generator, Iterator

from gateway.core.errors import DeadlineExceeded, GatewayError, StreamIdleTimeout, StreamTruncated
from gateway.proxy.request_log import RequestLog, StreamEnd
from gateway.proxy.sse import KEEP_ALIVE, StreamWatcher, error_frame


def relay(chunks: Generator[bytes], record: RequestLog) -> Generator[bytes]:
    """The stream as the client gets it: the provider's whole frames, byte for byte.

    A stream that is not whole ends with one error frame and no `[DONE]`; nothing is raised. `chunks` raises a
    GatewayError where the stream breaks. A client that has left closes this generator.
    """
    watcher = StreamWatcher(record.request.choices)
    record.stream_end = "client_gone"
    try:
        yield from _frames(chunks, watcher, record)
    except GatewayError as error:
        if not watcher.done:
            record.stream_end, record.code = end_of(error), error.code
            yield error_frame(error, mid_frame=watcher.mid_frame)
    finally:
        chunks.close()
        if watcher.done:
            record.stream_end = "done"  # also for a client that leaves as soon as it has seen the end
        record.usage = watcher.usage
        record.model_served = watcher.model


def _frames(chunks: Iterator[bytes], watcher: StreamWatcher, record: RequestLog) -> Iterator[bytes]:
    for chunk in chunks:
        if chunk is KEEP_ALIVE:  # ours, and never into the middle of a frame
            yield from () if watcher.mid_frame else (chunk,)
            continue
        frames = watcher.feed(chunk)
        if frames:
            record.count(frames)
            yield frames
    if not watcher.whole_at_end():
        raise StreamTruncated
    tail = watcher.end()
    record.stream_end = "done"
    if tail:
        record.count(tail)
        yield tail


def end_of(error: GatewayError) -> StreamEnd:
    """How a stream that met this error ended, for its record."""
    if isinstance(error, StreamTruncated):
        return "truncated"
    if isinstance(error, StreamIdleTimeout):
        return "idle_timeout"
    return "deadline" if isinstance(error, DeadlineExceeded) else "error"
