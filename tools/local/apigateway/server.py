"""The local API server: stands in for API Gateway on a loopback port, without the stage in the paths.

The local AWS's API Gateway serves the buffered routes. This server adds what it lacks: response streaming, the
template's GatewayResponses and API Gateway's size limits.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from tools.local import browser_guard
from tools.local.apigateway.authorizer import TokenAuthorizer
from tools.local.apigateway.buffered_client import BufferedClient
from tools.local.apigateway.call_queue import CallQueues
from tools.local.apigateway.connections import PrivateRunner, log_without_message
from tools.local.apigateway.gateway_responses import GatewayError, HttpResponse, render
from tools.local.apigateway.local_errors import ForbiddenHost, LocalError, MalformedRequest, NotSaved, StreamLimit
from tools.local.apigateway.proxy_event import (
    MAX_EVENT_BYTES,
    ApiRequest,
    authorizer_request,
    encode,
    method_arn,
    proxy_event,
)
from tools.local.apigateway.response_stream import cancel_on_disconnect, stream_response
from tools.local.apigateway.routes import RouteMatch, match
from tools.local.deployment import Authorizer, Deployment, Function
from tools.local.lambda_runtime.invocation import FunctionError
from tools.local.lambda_runtime.worker_pool import ThrottledError, WorkerPool

# API Gateway's limit for a request body.
MAX_BODY_BYTES = 10 * 1024 * 1024
BODY_IDLE_TIMEOUT_S = 10.0
_READING_METHODS = ("GET", "HEAD", "OPTIONS")


class ApiServer:
    """Responds to every request to the deployed API, always with the same error shape.

    `admin_token` returns the token for anonymous local requests and may block; None turns that off. `save_failure`
    returns why the local AWS cannot save its state, or None if it can.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        aws_url: str,
        workers: WorkerPool,
        authorizer: TokenAuthorizer,
        admin_token: Callable[[], str] | None,
        save_failure: Callable[[], str | None] = lambda: None,
        queues: CallQueues | None = None,
    ) -> None:
        self._deployment = deployment
        self._workers = workers
        self._authorizer = authorizer
        self._admin_token = admin_token
        self._save_failure = save_failure
        self._queues = queues or CallQueues()
        self._buffered = BufferedClient(aws_url, deployment)

    def app(self) -> web.Application:
        """Returns the application, for use in one event loop."""

        @web.middleware
        async def respond(request: web.Request, handler: Handler) -> web.StreamResponse:  # noqa: ARG001
            return await self._respond(request)

        # A middleware also sees the requests that no route of aiohttp matches, such as OPTIONS *.
        app = web.Application(middlewares=[respond])
        app.router.add_route("*", "/{path:(?s:.*)}", self._respond, expect_handler=_send_continue)
        app.on_response_prepare.append(_remove_server_header)
        app.cleanup_ctx.append(self._buffered_client)
        return app

    def runner(self) -> web.AppRunner:
        """Returns the application's runner: compressed bodies stay compressed, and shutdown takes at most a second."""
        return PrivateRunner(
            self.app(), _malformed_response, auto_decompress=False, access_log=None, shutdown_timeout=1
        )

    async def _buffered_client(self, _app: web.Application) -> AsyncIterator[None]:
        await self._buffered.start()
        yield
        await self._buffered.close()

    async def _respond(self, incoming: web.Request) -> web.StreamResponse:
        request_id = str(uuid4())
        try:
            return await self._dispatch(incoming, request_id)
        except GatewayError as error:
            response = render(self._deployment.gateway_responses, error, request_id)
        except LocalError as error:
            response = error.response(request_id)
        except ConnectionError:
            # The client has disconnected and reads no response.
            return web.Response(status=499)
        except Exception as error:  # noqa: BLE001
            log_without_message(error)
            response = render(self._deployment.gateway_responses, GatewayError("DEFAULT_5XX"), request_id)
        return _web_response(response, request_id)

    async def _dispatch(self, incoming: web.Request, request_id: str) -> web.StreamResponse:
        if not browser_guard.is_loopback_host(incoming.headers.get("Host")):
            raise ForbiddenHost
        matched = match(self._deployment.routes, incoming.method, incoming.rel_url.raw_path)
        if matched is None:
            raise GatewayError("MISSING_AUTHENTICATION_TOKEN")
        request = await _read_request(incoming, request_id)
        request = await self._add_admin_token(request, incoming.headers, matched.route.authorizer)
        if matched.route.authorizer and not request.header(matched.route.authorizer.header):
            raise GatewayError("UNAUTHORIZED")
        if matched.route.function is None:
            return await self._respond_buffered(matched, request, incoming)
        return await cancel_on_disconnect(
            incoming, self._respond_streamed(matched, matched.route.function, request, incoming)
        )

    async def _respond_buffered(
        self, matched: RouteMatch, request: ApiRequest, incoming: web.Request
    ) -> web.StreamResponse:
        if request.method not in _READING_METHODS and (reason := self._save_failure()):
            raise NotSaved(reason)
        # The local AWS builds its own event; this one only checks the size limit.
        self._encode_event(matched, request, {})
        async with AsyncExitStack() as stack:
            queue = self._queues.for_route(matched.route.path)
            # A disconnected client does not take a slot. A call that runs continues, as on AWS.
            await cancel_on_disconnect(incoming, stack.enter_async_context(queue.slot()))
            return _web_response(await self._buffered.send(request), request.id)

    async def _respond_streamed(
        self, matched: RouteMatch, function: Function, request: ApiRequest, incoming: web.Request
    ) -> web.StreamResponse:
        context: Mapping[str, str] = {}
        if authorizer := matched.route.authorizer:
            arn = method_arn(self._deployment, request.method, request.path)
            token = request.header(authorizer.header)
            described = authorizer_request(self._deployment, matched, request)
            context = await self._authorizer.authorize(authorizer, token, arn, described)
        event = self._encode_event(matched, request, context)
        try:
            async with self._workers.invoke(function, request.id, event) as invocation:
                return await stream_response(incoming, invocation, request.id)
        except ThrottledError as error:
            raise StreamLimit(error.limit) from error
        except FunctionError as error:
            raise GatewayError("DEFAULT_5XX", status=502) from error

    def _encode_event(self, matched: RouteMatch, request: ApiRequest, context: Mapping[str, str]) -> bytes:
        """Returns the event's JSON. Raises GatewayError if it exceeds Lambda's limit."""
        event = encode(proxy_event(self._deployment, matched, request, context))
        if len(event) > MAX_EVENT_BYTES:
            raise GatewayError("DEFAULT_5XX", status=502)
        return event

    async def _add_admin_token(
        self, request: ApiRequest, headers: Mapping[str, str], authorizer: Authorizer | None
    ) -> ApiRequest:
        """Adds the admin token to an anonymous local request, so that the README's curl commands work as they are."""
        if self._admin_token is None or not browser_guard.is_anonymous_same_site(headers):
            return request
        token = await asyncio.to_thread(self._admin_token)
        reads_api_key = authorizer is not None and authorizer.header.lower() == "x-api-key"
        added = ("x-api-key", token) if reads_api_key else ("Authorization", f"Bearer {token}")
        return replace(request, headers=(*request.headers, added))


async def _read_request(incoming: web.Request, request_id: str) -> ApiRequest:
    host, port = incoming.get_extra_info("sockname", ("", 0))[:2]
    return ApiRequest(
        id=request_id,
        method=incoming.method,
        path=incoming.rel_url.raw_path,
        query=incoming.rel_url.raw_query_string,
        headers=tuple((name, _valid_utf8(value)) for name, value in incoming.headers.items()),
        body=await _read_body(incoming),
        source_ip=incoming.remote or host,
        port=port,
        received=datetime.now(UTC),
    )


async def _read_body(incoming: web.Request) -> bytes:
    if (incoming.content_length or 0) > MAX_BODY_BYTES:
        raise GatewayError("REQUEST_TOO_LARGE")
    body, now = bytearray(), asyncio.get_running_loop().time
    try:
        # aiohttp waits for ever after an invalid chunk, so an idle timeout ends the read.
        async with asyncio.timeout(BODY_IDLE_TIMEOUT_S) as timeout:
            async for data in incoming.content.iter_any():
                timeout.reschedule(now() + BODY_IDLE_TIMEOUT_S)
                body += data
                if len(body) > MAX_BODY_BYTES:
                    raise GatewayError("REQUEST_TOO_LARGE")
    except (web.RequestPayloadError, TimeoutError) as error:
        raise GatewayError("DEFAULT_4XX", message="The request body is not well formed") from error
    return bytes(body)


def _malformed_response(request_id: str) -> web.Response:
    return _web_response(MalformedRequest().response(request_id), request_id)


async def _send_continue(incoming: web.Request) -> None:
    """Answers `Expect: 100-continue`, and ignores any other expectation as API Gateway does."""
    if incoming.version == HttpVersion11 and incoming.headers.get("Expect", "").lower() == "100-continue":
        await incoming.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The response itself has not begun.
        incoming.writer.output_size = 0


def _valid_utf8(value: str) -> str:
    """Replaces invalid UTF-8 in a header. aiohttp keeps such bytes as lone surrogates, which JSON cannot encode."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _web_response(response: HttpResponse, request_id: str) -> web.Response:
    headers = CIMultiDict([*response.headers, ("x-amzn-RequestId", request_id)])
    return web.Response(status=response.status, headers=headers, body=response.body)


async def _remove_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
