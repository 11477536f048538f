"""The connections of the API server. They never return or log the bytes of a client, which may contain a token."""

import logging
import traceback
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

_logger = logging.getLogger(__name__)

type MalformedResponse = Callable[[str], web.Response]


class PrivateRunner(web.AppRunner):
    """An AppRunner whose connections never return or log received bytes.

    `malformed(request_id)` returns the response to bytes that are not a valid request.
    """

    def __init__(self, app: web.Application, malformed: MalformedResponse, **options: Any) -> None:
        super().__init__(app, **options)
        self._malformed = malformed

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _PrivateServer(self._malformed, server)


class _PrivateServer(web.Server):
    def __init__(self, malformed: MalformedResponse, server: web.Server) -> None:
        # aiohttp has no other way to choose the class of the connections; its version is pinned.
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,  # noqa: SLF001
            **server._kwargs,  # noqa: SLF001
        )
        self._malformed = malformed

    def __call__(self) -> RequestHandler:
        return _PrivateConnection(self._malformed, self, loop=self._loop, **self._kwargs)


class _PrivateConnection(RequestHandler):
    __slots__ = ("_malformed",)

    def __init__(self, malformed: MalformedResponse, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._malformed = malformed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Returns the response to a request that cannot be parsed, and closes the connection after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response has been sent already")
        _logger.info("Rejected a malformed request: %s", type(exc).__name__)
        response = self._malformed(str(uuid4()))
        response.force_close()
        return response

    def log_exception(self, *_args: Any, exc_info: BaseException | None = None, **_options: Any) -> None:
        """Logs an error without its message."""
        log_without_message(exc_info)


def log_without_message(error: BaseException | None) -> None:
    """Logs the type and the stack of an error. Omits its message, which may quote a header or a body."""
    stack = "".join(traceback.format_tb(error.__traceback__)) if error else ""
    _logger.error("The local API server failed: %s\n%s", type(error).__name__, stack)
