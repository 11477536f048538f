"""What a handler returns, and the three ways in which it leaves the function."""

import base64
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import hook, wire


@dataclass(frozen=True)
class Response:
    """A whole answer, framed as a streaming integration wants it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class StreamingResponse:
    """An answer sent chunk by chunk. However it ends, its iterator is closed, then `on_close` called, once."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]
    on_close: Callable[[], None] | None = None


def streaming[E, C](handler: Callable[[E, C], StreamingResponse | Response]) -> Callable[[E, C], Any]:
    """Declares that the function's integration is STREAM. An unusable status or header fails the invocation."""
    hook.install()

    @functools.wraps(handler)
    def streamed(event: E, context: C) -> Any:
        response = handler(event, context)
        if isinstance(response, Response):
            response = StreamingResponse(response.status, response.headers, (response.body,))
        if not isinstance(response, StreamingResponse):
            raise TypeError(f"the handler returned {type(response).__name__}, not a StreamingResponse or Response")
        return _encode(response)

    return streamed


def _encode(response: StreamingResponse) -> Any:
    try:
        prelude, mode = wire.prelude(response.status, response.headers), hook.mode()
        chunks = iter(response.body)
    except BaseException:
        hook.close(response.body, response.on_close)
        raise
    if mode == "stream":
        return hook.Stream(prelude, chunks, response.on_close)
    body = _whole(chunks, response.on_close)
    if mode == "framed":
        return prelude + (body or b"\n")
    return _proxy(response.status, wire.end_to_end(response.headers), body)


def _whole(chunks: Iterator[bytes], on_close: Callable[[], None] | None) -> bytes:
    try:
        return b"".join(chunks)
    finally:
        hook.close(chunks, on_close)


def _proxy(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, object]:
    try:
        text, is_base64 = body.decode(), False
    except UnicodeDecodeError:
        text, is_base64 = base64.b64encode(body).decode(), True
    return {
        "statusCode": status,
        "headers": headers,
        "multiValueHeaders": {},
        "body": text,
        "isBase64Encoded": is_base64,
    }
