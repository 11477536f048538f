"""Streams on their way to the client: whole frames, and an error frame where the stream breaks."""

from collections.abc import Generator, Iterable, Iterator
from itertools import chain

from gateway.core.errors import DeadlineExceeded, GatewayError, NotAStream, StreamIdleTimeout, StreamTruncated
from gateway.proxy.exchange import Exchange
from gateway.proxy.reply import provider_error
from gateway.proxy.request_log import RequestLog, StreamEnd
from gateway.proxy.sse import KEEP_ALIVE, StreamWatcher, error_frame


def relay(chunks: Iterable[bytes], log: RequestLog) -> Generator[bytes]:
    """Yields the provider's whole frames, unchanged.

    `chunks` raises a GatewayError where the stream breaks. The stream then ends with one error frame and without
    `[DONE]`, and nothing is raised. Closing this generator means that the client has left.
    """
    watcher = StreamWatcher(log.request.choices)
    log.stream_end = "client_gone"
    try:
        yield from _frames(chunks, watcher, log)
    except GatewayError as error:
        if not watcher.done:
            log.stream_end, log.code = stream_end(error), error.code
            yield error_frame(error, mid_frame=watcher.mid_frame)
    finally:
        if watcher.done:
            # Also where the client leaves as soon as it has read the end mark.
            log.stream_end = "done"
        log.usage = watcher.usage
        log.model_served = watcher.model


def relay_late(exchange: Exchange, chunks: Iterator[bytes], log: RequestLog) -> Generator[bytes]:
    """Yields a stream whose 200 was sent before the provider's head arrived.

    Starts with a keep-alive comment. A response that is not a stream becomes an error frame.
    """
    log.status, log.stream_end = 200, "client_gone"
    yield KEEP_ALIVE
    yield from relay(_checked_stream(exchange, chunks, log), log)


def stream_end(error: GatewayError) -> StreamEnd:
    """Returns how a stream ended that raised this error."""
    if isinstance(error, StreamTruncated):
        return "truncated"
    if isinstance(error, StreamIdleTimeout):
        return "idle_timeout"
    return "deadline" if isinstance(error, DeadlineExceeded) else "error"


def _frames(chunks: Iterable[bytes], watcher: StreamWatcher, log: RequestLog) -> Iterator[bytes]:
    for chunk in chunks:
        if chunk is KEEP_ALIVE:
            if watcher.between_frames and not watcher.done:
                yield chunk
            continue
        frames = watcher.feed(chunk)
        if frames:
            log.count(frames)
            yield frames
    if not watcher.whole_at_end():
        raise StreamTruncated
    rest = watcher.end()
    log.stream_end = "done"
    if rest:
        log.count(rest)
        yield rest


def _checked_stream(exchange: Exchange, chunks: Iterator[bytes], log: RequestLog) -> Iterator[bytes]:
    """Yields the chunks, keep-alives included. Raises a GatewayError if the head is not that of a stream."""
    # Stays empty where the body is empty.
    first = b""
    for chunk in chunks:
        if chunk is not KEEP_ALIVE:
            first = chunk
            break
        yield chunk
    _check_head(exchange, chain([first], chunks), log)
    yield first
    yield from chunks


def _check_head(exchange: Exchange, body: Iterator[bytes], log: RequestLog) -> None:
    log.target, response = exchange.head.result()
    if not 200 <= response.status < 300:
        raise provider_error(response, body, log)
    if not response.is_stream:
        raise NotAStream
