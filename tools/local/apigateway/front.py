"""The HTTP server that stands in for API Gateway: plain paths on a loopback port.

What the local AWS's API Gateway can do, it does. What it lacks is done here: streams, GatewayResponses, limits.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from aiohttp import web
from multidict import CIMultiDict

from tools.local import browser_guard
from tools.local.apigateway.authorizer import TokenAuthorizer
from tools.local.apigateway.buffered import LocalApi
from tools.local.apigateway.events import EVENT_LIMIT, ApiRequest, encode, method_arn, proxy_event
from tools.local.apigateway.gateway_responses import Answer, Refusal, render
from tools.local.apigateway.relay import relay, while_connected
from tools.local.apigateway.routes import Match, match
from tools.local.deployed import Deployment, Function
from tools.local.lambda_runtime.invocation import FunctionFailed
from tools.local.lambda_runtime.workers import Throttled, Workers

BODY_LIMIT = 10 * 1024 * 1024  # API Gateway's
BODY_IDLE_S = 10.0

_FORBIDDEN_HOST = {
    "message": "The local system answers to localhost, 127.0.0.1 and [::1] only. Send one of them as the Host.",
    "type": "permission_error",
    "code": "forbidden_host",
    "param": None,
}

_logger = logging.getLogger(__name__)


class Front:
    """Answers every request to the deployed API; always with one error shape. `admin_token` may block."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        aws_url: str,
        workers: Workers,
        authorizer: TokenAuthorizer,
        admin_token: Callable[[], str] | None,
    ) -> None:
        self._deployment = deployment
        self._workers = workers
        self._authorizer = authorizer
        self._admin_token = admin_token
        self._api = LocalApi(aws_url, deployment)

    def app(self) -> web.Application:
        """The application, for one event loop."""
        app = web.Application()
        app.router.add_route("*", "/{path:(?s:.*)}", self._answer)
        app.on_response_prepare.append(_without_server_name)
        app.cleanup_ctx.append(self._connected)
        return app

    def runner(self) -> web.AppRunner:
        """The application with the server options that it needs: bodies as they came, and a prompt end."""
        return web.AppRunner(self.app(), auto_decompress=False, access_log=None, shutdown_timeout=1)

    async def _connected(self, _app: web.Application) -> AsyncIterator[None]:
        await self._api.start()
        yield
        await self._api.close()

    async def _answer(self, incoming: web.Request) -> web.StreamResponse:
        request_id = str(uuid4())
        try:
            return await self._routed(incoming, request_id)
        except Refusal as refusal:
            answer = render(self._deployment.gateway_responses, refusal, request_id)
        except ConnectionError:
            return web.Response(status=499)  # nobody is there to read it
        except Exception:
            _logger.exception("The local front failed")
            answer = render(self._deployment.gateway_responses, Refusal("DEFAULT_5XX"), request_id)
        return _response(answer, request_id)

    async def _routed(self, incoming: web.Request, request_id: str) -> web.StreamResponse:
        if not browser_guard.is_loopback_host(incoming.headers.get("Host")):
            body = json.dumps({"error": _FORBIDDEN_HOST}).encode()
            return _response(Answer(403, (("Content-Type", "application/json"),), body), request_id)
        found = match(self._deployment.routes, incoming.method, incoming.rel_url.raw_path)
        if found is None:
            raise Refusal("MISSING_AUTHENTICATION_TOKEN")
        request = await self._with_token(await _read(incoming, request_id), incoming.headers)
        if found.route.authorizer and not request.header("Authorization"):
            raise Refusal("UNAUTHORIZED")
        if found.route.function is None:
            return await self._buffered(found, request)
        return await while_connected(incoming, self._streamed(found, found.route.function, request, incoming))

    async def _buffered(self, found: Match, request: ApiRequest) -> web.Response:
        self._event(found, request, {})
        return _response(await self._api.answer(request), request.id)

    async def _streamed(
        self, found: Match, function: Function, request: ApiRequest, incoming: web.Request
    ) -> web.StreamResponse:
        context: Mapping[str, str] = {}
        if found.route.authorizer:
            arn = method_arn(self._deployment, request.method, request.path)
            token = request.header("Authorization")
            context = await self._authorizer.authorize(found.route.authorizer, token, arn)
        event = self._event(found, request, context)
        try:
            async with self._workers.invoke(function, request.id, event) as invocation:
                return await relay(incoming, invocation, request.id)
        except (FunctionFailed, Throttled) as error:
            raise Refusal("DEFAULT_5XX", status=502) from error

    def _event(self, found: Match, request: ApiRequest, context: Mapping[str, str]) -> bytes:
        """The event as it is sent; one that Lambda would not take ends here, on buffered routes as well."""
        event = encode(proxy_event(self._deployment, found, request, context))
        if len(event) > EVENT_LIMIT:
            raise Refusal("DEFAULT_5XX", status=502)
        return event

    async def _with_token(self, request: ApiRequest, headers: Mapping[str, str]) -> ApiRequest:
        if self._admin_token is None or not browser_guard.is_bare(headers):
            return request
        token = await asyncio.to_thread(self._admin_token)
        return replace(request, headers=(*request.headers, ("Authorization", f"Bearer {token}")))


async def _read(incoming: web.Request, request_id: str) -> ApiRequest:
    host, port = incoming.get_extra_info("sockname", ("", 0))[:2]
    return ApiRequest(
        id=request_id,
        method=incoming.method,
        path=incoming.rel_url.raw_path,
        query=incoming.rel_url.raw_query_string,
        headers=tuple((name, _readable(value)) for name, value in incoming.headers.items()),
        body=await _body(incoming),
        source_ip=incoming.remote or host,
        port=port,
        received=datetime.now(UTC),
    )


async def _body(incoming: web.Request) -> bytes:
    if (incoming.content_length or 0) > BODY_LIMIT:
        raise Refusal("REQUEST_TOO_LARGE")
    body, now = bytearray(), asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(BODY_IDLE_S) as limit:
            async for piece in incoming.content.iter_any():
                limit.reschedule(now() + BODY_IDLE_S)
                body += piece
                if len(body) > BODY_LIMIT:
                    raise Refusal("REQUEST_TOO_LARGE")
    except (web.RequestPayloadError, TimeoutError) as error:  # aiohttp waits for ever behind a chunk that is none
        raise Refusal("DEFAULT_4XX", message="The request body is not well formed") from error
    return bytes(body)


def _readable(value: str) -> str:
    """aiohttp keeps bytes of a header that are not UTF-8 as lone surrogates, which no JSON can carry."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _response(answer: Answer, request_id: str) -> web.Response:
    headers = CIMultiDict([*answer.headers, ("x-amzn-RequestId", request_id)])
    return web.Response(status=answer.status, headers=headers, body=answer.body)


async def _without_server_name(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
