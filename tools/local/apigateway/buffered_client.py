"""Buffered routes: forwards requests to the local AWS's API Gateway and detects its own error responses."""

import json
from io import BytesIO
from typing import Any

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tools.local import browser_guard
from tools.local.apigateway.gateway_responses import GatewayError, HttpResponse
from tools.local.apigateway.proxy_event import HOP_BY_HOP, ApiRequest
from tools.local.deployment import Deployment

# Lambda's limit for a buffered response.
_MAX_RESPONSE_BYTES = 6 * 1024 * 1024
# API Gateway's default integration timeout.
_TIMEOUT_S = 29
_ADDED_BY_AIOHTTP = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

# Headers that the local AWS or its HTTP server adds. The function did not send them.
_NOT_FROM_FUNCTION = HOP_BY_HOP | {"date", "server", "x-amz-id-2", "x-amz-request-id", "x-amzn-requestid"}

_RESPONSE_TYPES = {
    "AccessDeniedException": "ACCESS_DENIED",
    "AuthorizerConfigurationException": "AUTHORIZER_FAILURE",
    "MissingAuthenticationTokenException": "MISSING_AUTHENTICATION_TOKEN",
    "TooManyRequestsException": "THROTTLED",
    "UnauthorizedException": "UNAUTHORIZED",
}


class BufferedClient:
    """A client of one deployed API of the local AWS at `aws_url`."""

    def __init__(self, aws_url: str, deployment: Deployment) -> None:
        self._base = f"{aws_url.rstrip('/')}/_aws/execute-api/{deployment.api_id}/{deployment.stage}"
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Opens the session. Call it in the event loop that sends the requests."""
        self._session = aiohttp.ClientSession(
            # The local AWS closes idle connections. A POST on a reused connection could be lost at that moment.
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            auto_decompress=False,
            skip_auto_headers=_ADDED_BY_AIOHTTP,
        )

    async def close(self) -> None:
        """Closes the session and its connections."""
        if self._session is not None:
            await self._session.close()

    async def send(self, request: ApiRequest) -> HttpResponse:
        """Returns the function's response. Raises GatewayError if API Gateway responds instead."""
        try:
            status, headers, body = await self._call(request)
        except TimeoutError as error:
            raise GatewayError("INTEGRATION_TIMEOUT") from error
        except aiohttp.ClientError as error:
            raise GatewayError("DEFAULT_5XX") from error
        if gateway_error := find_gateway_error(status, headers.get("x-amzn-ErrorType"), body):
            raise gateway_error
        if len(body) > _MAX_RESPONSE_BYTES:
            raise GatewayError("DEFAULT_5XX", status=502)
        function_headers = tuple((k, v) for k, v in headers.items() if k.lower() not in _NOT_FROM_FUNCTION)
        return HttpResponse(status, function_headers, body)

    async def _call(self, request: ApiRequest) -> tuple[int, CIMultiDictProxy[str], bytes]:
        if self._session is None:
            raise RuntimeError("the client is not started")
        url = URL(f"{self._base}{request.path}{'?' if request.query else ''}{request.query}", encoded=True)
        dropped = HOP_BY_HOP | {"host", "x-forwarded-for"}
        headers = CIMultiDict((_forwarded_name(k), v) for k, v in request.headers if k.lower() not in dropped)
        headers["X-Forwarded-For"] = request.source_ip
        body = BytesIO(request.body) if request.body else None
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as response:
            return response.status, response.headers, await response.read()


def _forwarded_name(name: str) -> str:
    """Returns the alias of a header that the local AWS rejects from web pages; it restores the name for functions."""
    return browser_guard.FORWARDED_NAMES.get(name.lower(), name)


def find_gateway_error(status: int, error_type: str | None, body: bytes) -> GatewayError | None:
    """Returns the error if API Gateway or Lambda itself sent the response, and None if the function did.

    The local AWS marks most of its own errors with the header x-amzn-ErrorType. Its other errors have a `message` and
    no `error`, and the message may be the text of a function's exception. The gateway's functions always send `error`.
    """
    if status < 400:
        return None
    fields = _json_object(body)
    message = fields.get("message", fields.get("Message"))
    if error_type is None and (message is None or "error" in fields):
        return None
    if error_type in _RESPONSE_TYPES:
        return GatewayError(_RESPONSE_TYPES[error_type])
    # Lambda sets __type when it throttles, which API Gateway reports as its own failure.
    if status >= 500 or "__type" in fields:
        return GatewayError("DEFAULT_5XX", status=502 if error_type is None else status)
    return GatewayError("DEFAULT_4XX", status=status, message=str(message))


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
