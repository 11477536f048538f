"""The buffered routes: the local AWS's API Gateway answers, and what it says itself is put in the template's words."""

import json
from io import BytesIO
from typing import Any

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tools.local import browser_guard
from tools.local.apigateway.events import HOP_BY_HOP, ApiRequest
from tools.local.apigateway.gateway_responses import Answer, Refusal
from tools.local.deployed import Deployment

_ANSWER_LIMIT = 6 * 1024 * 1024  # Lambda's, for a buffered answer
_TIMEOUT_S = 29  # API Gateway's, for an integration
_ADDED_BY_AIOHTTP = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

# Set by the local AWS or by its server; API Gateway's own are the front's to set.
_NOT_THE_FUNCTIONS = HOP_BY_HOP | {"date", "server", "x-amz-id-2", "x-amz-request-id", "x-amzn-requestid"}

_KINDS = {
    "AccessDeniedException": "ACCESS_DENIED",
    "AuthorizerConfigurationException": "AUTHORIZER_FAILURE",
    "MissingAuthenticationTokenException": "MISSING_AUTHENTICATION_TOKEN",
    "TooManyRequestsException": "THROTTLED",
    "UnauthorizedException": "UNAUTHORIZED",
}


class LocalApi:
    """A client of one deployed API of the local AWS at `aws_url`."""

    def __init__(self, aws_url: str, deployment: Deployment) -> None:
        self._base = f"{aws_url.rstrip('/')}/_aws/execute-api/{deployment.api_id}/{deployment.stage}"
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Must be called in the event loop that uses it."""
        self._session = aiohttp.ClientSession(
            # Its server closes idle connections after a time of its own; a POST that meets that is lost.
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            auto_decompress=False,
            skip_auto_headers=_ADDED_BY_AIOHTTP,
        )

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()

    async def answer(self, request: ApiRequest) -> Answer:
        """The function's answer. Raises Refusal where API Gateway answers itself."""
        try:
            status, headers, body = await self._call(request)
        except TimeoutError as error:
            raise Refusal("INTEGRATION_TIMEOUT") from error
        except aiohttp.ClientError as error:
            raise Refusal("DEFAULT_5XX") from error
        if refusal := own_answer(status, headers.get("x-amzn-ErrorType"), body):
            raise refusal
        if len(body) > _ANSWER_LIMIT:
            raise Refusal("DEFAULT_5XX", status=502)
        kept = tuple((k, v) for k, v in headers.items() if k.lower() not in _NOT_THE_FUNCTIONS)
        return Answer(status, kept, body)

    async def _call(self, request: ApiRequest) -> tuple[int, CIMultiDictProxy[str], bytes]:
        if self._session is None:
            raise RuntimeError("not started")
        url = URL(f"{self._base}{request.path}{'?' if request.query else ''}{request.query}", encoded=True)
        dropped = HOP_BY_HOP | {"host", "x-forwarded-for"}
        headers = CIMultiDict((_proxied(k), v) for k, v in request.headers if k.lower() not in dropped)
        headers["X-Forwarded-For"] = request.source_ip
        body = BytesIO(request.body) if request.body else None
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as response:
            return response.status, response.headers, await response.read()


def _proxied(name: str) -> str:
    """The local AWS answers no page: what a page's request has to say goes to the function under another name."""
    return browser_guard.PROXIED.get(name.lower(), name)


def own_answer(status: int, error_type: str | None, body: bytes) -> Refusal | None:
    """What API Gateway or Lambda said itself, if it was not the function that answered.

    The local AWS marks most such answers with x-amzn-ErrorType. The rest are `{"message": …}` with nothing else of
    interest in it, the text of a function's exception included; the functions' own errors have an `error`.
    """
    if status < 400:
        return None
    said = _object(body)
    message = said.get("message", said.get("Message"))
    if error_type is None and (message is None or "error" in said):
        return None
    if error_type in _KINDS:
        return Refusal(_KINDS[error_type])
    if status >= 500 or "__type" in said:  # __type: Lambda throttled, which API Gateway calls its own failure
        return Refusal("DEFAULT_5XX", status=502 if error_type is None else status)
    return Refusal("DEFAULT_4XX", status=status, message=str(message))


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
