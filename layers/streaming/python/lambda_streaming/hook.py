"""Hooks the managed runtime's client so that it can stream: one hook on marshalling, one on posting the result."""

import contextlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from . import early, wire

ResponseMode = Literal["stream", "framed", "proxy"]

_CLIENT_MODULE = "awslambdaric.lambda_runtime_client"
logger = logging.getLogger("lambda_streaming")


@dataclass(frozen=True)
class OutgoingStream:
    """A validated response on its way through the runtime client. `prelude` is the encoded status and headers.

    `deadline` is the monotonic time at which sending fails.
    """

    prelude: bytes
    chunks: Iterator[bytes]
    on_close: Callable[[], None] | None
    deadline: float | None = None


def response_mode() -> ResponseMode:
    """Returns how a response is sent now: chunk by chunk, framed in one piece, or as a plain proxy dict."""
    override = os.environ.get("STREAM_MODE")
    if override == "framed":
        return "framed"
    if override == "proxy" or os.environ.get("AWS_SAM_LOCAL") == "true" or not _in_runtime():
        return "proxy"
    return "stream" if _is_hooked() else "framed"


def install() -> None:
    """Hooks the runtime client if it is loaded and compatible. Never raises; `response_mode` shows the outcome."""
    if _CLIENT_MODULE in sys.modules and not _is_hooked():
        try:
            _hook(_client_class())
        except Exception:
            logger.warning("the runtime client has changed: responses are framed, not streamed", exc_info=True)
    version = getattr(sys.modules.get("awslambdaric"), "__version__", "(none)")
    logger.info("runtime client %s, response mode %s", version, response_mode())


def connect_early() -> None:
    """Connects to the Runtime API now, so that the response does not wait for the connection.

    Call it in the handler's thread, while another thread waits for the source of the response. Does nothing outside
    the mode `stream`, and never raises.
    """
    if response_mode() == "stream":
        early.connect(_runtime_api_address())


def close_body(chunks: Iterable[bytes], on_close: Callable[[], None] | None) -> None:
    """Closes the body's iterator, then calls `on_close`. Logs exceptions and never raises: the response is sent."""
    # The runtime's frames keep the generator alive, so garbage collection would close it much too late.
    for step in (getattr(chunks, "close", None), on_close):
        try:
            if step is not None:
                step()
        # No exc_info: the exception's text may contain secrets.
        except Exception as error:  # noqa: BLE001
            logger.error("closing the response failed: %s", _describe(error))


def _describe(error: BaseException) -> str:
    """Returns the error's type, file and line, without its text."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
    return type(error).__name__ + where


def _in_runtime() -> bool:
    # Lambda sets the variable. A runtime whose client is missing here still accepts a framed response.
    return _CLIENT_MODULE in sys.modules or "AWS_LAMBDA_RUNTIME_API" in os.environ


def _runtime_api_address() -> str:
    # Read now, not at init: an extension may set its own proxy as the Runtime API.
    return os.environ.get("AWS_LAMBDA_RUNTIME_API", "")


def _client_class() -> Any:
    return getattr(sys.modules.get(_CLIENT_MODULE), "LambdaRuntimeClient", None)


def _is_hooked() -> bool:
    client_class = _client_class()
    methods = (
        getattr(client_class, "post_invocation_result", None),
        getattr(getattr(client_class, "marshaller", None), "marshal_response", None),
    )
    return all(getattr(method, "__module__", None) == __name__ for method in methods)


def _hook(client_class: Any) -> None:
    post, marshal = client_class.post_invocation_result, client_class.marshaller.marshal_response
    # Both calls raise when the client's interface is not the expected one.
    inspect.signature(post).bind(client_class, "invoke id", b"data", "content type")
    _result, _content_type = marshal(None)
    # Hook the class that defines the method, so that the client for Managed Instances is hooked too.
    owner = next(cls for cls in client_class.__mro__ if "post_invocation_result" in vars(cls))
    client_class.marshaller.marshal_response = _wrap_marshal(marshal)
    owner.post_invocation_result = _wrap_post(post)


def _wrap_marshal(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def marshal_response(response: Any) -> Any:
        return (response, wire.CONTENT_TYPE) if isinstance(response, OutgoingStream) else original(response)

    return marshal_response


def _wrap_post(original: Callable[..., Any]) -> Callable[..., Any]:
    def post_invocation_result(client: Any, invoke_id: str, data: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(data, OutgoingStream):
            return original(client, invoke_id, data, *args, **kwargs)
        # The argument after the content type. Runtime clients before 4.2 do not pass it.
        invocation_id = args[1] if len(args) > 1 else kwargs.get("invocation_id")
        return _send(data, invoke_id, invocation_id)

    return post_invocation_result


def _send(stream: OutgoingStream, invoke_id: str, invocation_id: str | None) -> None:
    """Sends the stream. Logs a lost connection: an exception here would end the runtime's loop."""
    try:
        address = _runtime_api_address()
        post = wire.ChunkedPost(
            address, invoke_id, invocation_id, deadline=stream.deadline, connection=early.take(address)
        )
        with contextlib.closing(post):
            status = _send_body(stream, post)
        if status != 202:
            logger.warning("the Runtime API answered %d to the response", status)
    except wire.RuntimeApiError as error:
        logger.warning("the response was cut: the Runtime API %s", error)
    finally:
        close_body(stream.chunks, stream.on_close)


def _send_body(stream: OutgoingStream, post: wire.ChunkedPost) -> int:
    post.begin(stream.prelude)
    empty = True
    try:
        for chunk in stream.chunks:
            post.send(chunk)
            empty = empty and not chunk
    except wire.RuntimeApiError:
        raise
    # No exc_info: the exception's text may contain secrets.
    except Exception as error:  # noqa: BLE001
        logger.error("the response body failed: %s", _describe(error))
        return post.fail(error)
    if empty:
        # Some HTTP stacks between Lambda and the client never end a stream without a body.
        post.send(b"\n")
    return post.end()
