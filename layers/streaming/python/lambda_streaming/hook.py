"""Teaches the managed runtime's own client to stream, at two seams: what it marshals and what it posts."""

import contextlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from . import wire

Mode = Literal["stream", "framed", "proxy"]

_CLIENT_MODULE = "awslambdaric.lambda_runtime_client"
logger = logging.getLogger("lambda_streaming")


@dataclass(frozen=True)
class Stream:
    """A response on its way through the runtime client, its status and headers checked and encoded."""

    prelude: bytes
    chunks: Iterator[bytes]
    on_close: Callable[[], None] | None


def mode() -> Mode:
    """How a response would leave now: by chunks, framed but in one piece, or as a plain proxy dict."""
    asked = os.environ.get("STREAM_MODE")
    if asked == "framed":
        return "framed"
    if asked == "proxy" or os.environ.get("AWS_SAM_LOCAL") == "true" or not _in_runtime():
        return "proxy"
    return "stream" if _hooked() else "framed"


def install() -> None:
    """Hooks the runtime client if it is loaded and as we know it. Never raises; `mode` tells the outcome."""
    if _CLIENT_MODULE in sys.modules and not _hooked():
        try:
            _hook(_client())
        except Exception:
            logger.warning("the runtime client has changed: responses cannot be streamed", exc_info=True)
    version = getattr(sys.modules.get("awslambdaric"), "__version__", "(none)")
    logger.info("runtime client %s, response mode %s", version, mode())


def close(chunks: Iterable[bytes], on_close: Callable[[], None] | None) -> None:
    """Ends a body, then tells its owner. Never raises: the answer has been given by then."""
    # The runtime's frames keep the generator alive, so garbage collection would close it much too late.
    for step in (getattr(chunks, "close", None), on_close):
        try:
            if step is not None:
                step()
        except Exception as error:  # noqa: BLE001 - no exc_info: its text may carry secrets
            logger.error("closing the response failed: %s", _describe(error))


def _describe(error: BaseException) -> str:
    """The error's type and place, without its text."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
    return type(error).__name__ + where


def _in_runtime() -> bool:
    # Lambda sets the variable: under a runtime whose client we cannot even find, framed is still right.
    return _CLIENT_MODULE in sys.modules or "AWS_LAMBDA_RUNTIME_API" in os.environ


def _client() -> Any:
    return getattr(sys.modules.get(_CLIENT_MODULE), "LambdaRuntimeClient", None)


def _hooked() -> bool:
    client = _client()
    seams = (
        getattr(client, "post_invocation_result", None),
        getattr(getattr(client, "marshaller", None), "marshal_response", None),
    )
    return all(getattr(seam, "__module__", None) == __name__ for seam in seams)


def _hook(client: Any) -> None:
    post, marshal = client.post_invocation_result, client.marshaller.marshal_response
    inspect.signature(post).bind(client, "invoke id", b"data", "content type")
    _result, _content_type = marshal(None)
    # The class that defines it, so that the runtime's other client (Managed Instances) is hooked with it.
    owner = next(cls for cls in client.__mro__ if "post_invocation_result" in vars(cls))
    client.marshaller.marshal_response = _marshalling(marshal)
    owner.post_invocation_result = _posting(post)


def _marshalling(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def marshal_response(response: Any) -> Any:
        return (response, wire.CONTENT_TYPE) if isinstance(response, Stream) else original(response)

    return marshal_response


def _posting(original: Callable[..., Any]) -> Callable[..., Any]:
    def post_invocation_result(client: Any, invoke_id: str, data: Any, *rest: Any, **named: Any) -> Any:
        if not isinstance(data, Stream):
            return original(client, invoke_id, data, *rest, **named)
        # After the content type; runtime clients before 4.2 do not have it.
        invocation_id = rest[1] if len(rest) > 1 else named.get("invocation_id")
        return _post(data, invoke_id, invocation_id)

    return post_invocation_result


def _post(stream: Stream, invoke_id: str, invocation_id: str | None) -> None:
    """An exception here would end the runtime's loop, so a lost connection only ends this response."""
    try:
        # Read now, not at init: an extension may put its proxy in front of the Runtime API.
        address = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
        with contextlib.closing(wire.ChunkedPost(address, invoke_id, invocation_id)) as post:
            status = _transmit(stream, post)
        if status != 202:
            logger.warning("the Runtime API answered %d to the response", status)
    except wire.RuntimeApiError as error:
        logger.warning("the response was cut: the Runtime API %s", error)
    finally:
        close(stream.chunks, stream.on_close)


def _transmit(stream: Stream, post: wire.ChunkedPost) -> int:
    post.begin(stream.prelude)
    empty = True
    try:
        for chunk in stream.chunks:
            post.send(chunk)
            empty = empty and not chunk
    except wire.RuntimeApiError:
        raise
    except Exception as error:  # noqa: BLE001 - no exc_info: its text may carry secrets
        logger.error("the response body failed: %s", _describe(error))
        return post.fail(error)
    if empty:
        post.send(b"\n")  # a stream without a body never ends in some HTTP stacks between here and the client
    return post.end()
