"""A stream whose head is late: the 200 goes down without it, so that no hop takes the silence for an end."""

from collections.abc import Generator
from itertools import chain

from gateway.core.errors import NotAStream
from gateway.proxy.exchange import Exchange
from gateway.proxy.reply import NO_SNIFFING, take
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.stream import relay
from gateway.proxy.upstream_errors import MAX_ERROR_BODY_BYTES, upstream_error

HEADERS = NO_SNIFFING | {"content-type": "text/event-stream", "cache-control": "no-cache"}


def late_stream(exchange: Exchange, chunks: Generator[bytes], record: RequestLog) -> Generator[bytes]:
    """Comments until the head is there, then the stream, or its error in band."""
    record.status, record.stream_end = 200, "client_gone"
    yield KEEP_ALIVE
    yield from relay(_stream(exchange, chunks, record), record)


def _stream(exchange: Exchange, chunks: Generator[bytes], record: RequestLog) -> Generator[bytes]:
    """The chunks of an answer that is the stream that was asked for; any other answer is an error."""
    try:
        first = b""  # and so it stays where a body is empty
        for chunk in chunks:
            if chunk is not KEEP_ALIVE:
                first = chunk
                break
            yield chunk
        _check(exchange, chain([first], chunks), record)
        yield first
        yield from chunks
    finally:
        chunks.close()


def _check(exchange: Exchange, body: chain[bytes], record: RequestLog) -> None:
    record.target, answer = exchange.head.result()
    if answer.status >= 400:
        words, _ = take(body, most=MAX_ERROR_BODY_BYTES)
        raise upstream_error(answer.status, words, [record.target.key] if record.target.key else [])
    if not answer.is_stream:
        raise NotAStream
