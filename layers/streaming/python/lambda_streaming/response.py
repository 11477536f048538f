"""The handler's response types and the decorator that encodes them for the response mode in force."""

import base64
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import early, hook, wire

# Lambda ends a function at its deadline. Sending to a client that does not read ends before, so that `on_close` runs.
SECONDS_BEFORE_LAMBDA_ENDS = 2.0


@dataclass(frozen=True)
class Response:
    """A complete response. A streaming integration gets it framed like a stream."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class StreamingResponse:
    """A response sent chunk by chunk. However it ends, its iterator is closed, then `on_close` is called once."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]
    on_close: Callable[[], None] | None = None


def streaming[E, C](handler: Callable[[E, C], StreamingResponse | Response]) -> Callable[[E, C], Any]:
    """Decorates the handler of a function whose integration is STREAM.

    The decorated handler raises ValueError for an invalid status or header, and TypeError for any other result type.
    Sending ends two seconds before Lambda ends the function, also where the client does not read.
    """
    hook.install()

    @functools.wraps(handler)
    def streamed(event: E, context: C) -> Any:
        deadline = _send_deadline(context)
        try:
            return _encode(_as_stream(handler(event, context)), deadline)
        except BaseException:
            early.discard()
            raise

    return streamed


def _as_stream(response: object) -> StreamingResponse:
    if isinstance(response, Response):
        return StreamingResponse(response.status, response.headers, (response.body,))
    if not isinstance(response, StreamingResponse):
        raise TypeError(f"The handler returned {type(response).__name__}. Return a StreamingResponse or a Response.")
    return response


def _send_deadline(context: object) -> float | None:
    """Returns a monotonic time. None for a context that is not Lambda's."""
    remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
    return None if remaining_ms is None else time.monotonic() + remaining_ms() / 1000 - SECONDS_BEFORE_LAMBDA_ENDS


def _encode(response: StreamingResponse, deadline: float | None) -> Any:
    try:
        prelude, mode = wire.prelude(response.status, response.headers), hook.response_mode()
        chunks = iter(response.body)
    except BaseException:
        hook.close_body(response.body, response.on_close)
        raise
    if mode == "stream":
        return hook.OutgoingStream(prelude, chunks, response.on_close, deadline)
    body = _read_all(chunks, response.on_close)
    if mode == "framed":
        return prelude + (body or b"\n")
    return _proxy_dict(response.status, wire.end_to_end_headers(response.headers), body)


def _read_all(chunks: Iterator[bytes], on_close: Callable[[], None] | None) -> bytes:
    try:
        return b"".join(chunks)
    finally:
        hook.close_body(chunks, on_close)


def _proxy_dict(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, object]:
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
