"""A proxy between `sam local` containers and the local AWS that signs each request with the function's own role.

`sam local` gives every container the credentials of the shell, or dummy ones, and has no option to change that.
Therefore each function calls the local AWS under its own path here, and the proxy signs the request again with that
function's role. A call that the template does not permit fails here as on AWS, and a container cannot reach the local
AWS's control endpoints.

Each URL starts with a secret, because every caller of the proxy gets a role.
"""

import asyncio
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import IPv4Interface

import aiohttp
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

from tools.local import browser_guard
from tools.local.apigateway.connections import PrivateRunner
from tools.local.deployment import Function
from tools.local.sam_local import docker_bridge
from tools.local.settings import REGION

# Lambda's limit for a payload is 6 MB.
MAX_BODY_BYTES = 8 * 1024 * 1024
_SERVICE = re.compile(r"Credential=[^/]*/\d{8}/[^/]+/([a-z0-9-]+)/aws4_request")
# botocore itself replaces the session token.
_REPLACED_HEADERS = {
    "accept-encoding", "authorization", "connection", "content-length", "expect", "host", "transfer-encoding",
    "x-amz-content-sha256", "x-amz-date",
}  # fmt: skip
_DROPPED_RESPONSE_HEADERS = {"connection", "content-length", "date", "server", "transfer-encoding"}

type CredentialsProvider = Callable[[Function], Mapping[str, str]]


class SigningProxy:
    """Serves `/SECRET/LOGICAL_ID/…` for the functions of one stack. `credentials` may block."""

    def __init__(self, aws_url: str, functions: tuple[Function, ...], credentials: CredentialsProvider) -> None:
        self._aws_url = aws_url
        self._functions = {function.logical_id: function for function in functions}
        self._credentials = credentials
        self._secret = secrets.token_urlsafe(32)

    def url(self, host: str, port: int) -> str:
        """Returns the base URL under that host and port. A function's URL appends its logical id."""
        return f"http://{host}:{port}/{self._secret}"

    @asynccontextmanager
    async def serving(self, interface: IPv4Interface, port: int) -> AsyncIterator[int]:
        """Serves for the duration of the block, and yields the port.

        Accepts only peers of the interface's own network. Raises OSError if the port is in use.
        """

        async def serve(request: web.Request) -> web.Response:
            if not docker_bridge.is_in_network(interface, request.remote):
                return web.Response(status=403, text="The local AWS rejects requests from other networks.")
            if reason := browser_guard.rejection_reason(request.headers.items()):
                return web.Response(status=403, text=f"The local AWS {reason}.")
            return await self._forward(request)

        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{secret:[^/]+}/{function:[^/]+}{rest:.*}", serve)
        runner = PrivateRunner(app, _malformed_response, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
                await web.TCPSite(runner, str(interface.ip), port).start()
                yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.Response:
        function = self._functions.get(request.match_info["function"])
        service = _SERVICE.search(request.headers.get("Authorization", ""))
        has_secret = hmac.compare_digest(request.match_info["secret"].encode(), self._secret.encode())
        if function is None or service is None or not has_secret:
            return web.Response(status=403, text="Only the stack's functions may call the local AWS here.")
        credentials = await asyncio.to_thread(self._credentials, function)
        url = self._aws_url + request.raw_path.removeprefix(f"/{self._secret}/{function.logical_id}")
        signed = sign(request.method, url, request.headers, await request.read(), service[1], credentials)
        try:
            async with self._session.request(
                request.method, URL(url, encoded=True), headers=dict(signed.headers), data=signed.data
            ) as response:
                headers = {k: v for k, v in response.headers.items() if k.lower() not in _DROPPED_RESPONSE_HEADERS}
                return web.Response(status=response.status, headers=headers, body=await response.read())
        except aiohttp.ClientError:
            return web.Response(status=502, text="The local AWS does not respond.")


def sign(
    method: str, url: str, headers: Mapping[str, str], body: bytes, service: str, credentials: Mapping[str, str]
) -> AWSRequest:
    """Returns the request signed with `credentials`, which are environment variables as Lambda sets them."""
    unsigned = {name: value for name, value in headers.items() if name.lower() not in _REPLACED_HEADERS}
    request = AWSRequest(method, url, data=body, headers=unsigned)
    caller = Credentials(
        credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_SECRET_ACCESS_KEY"], credentials["AWS_SESSION_TOKEN"]
    )
    SigV4Auth(caller, service, REGION).add_auth(request)
    return request


def _malformed_response(_request_id: str) -> web.Response:
    return web.Response(status=400, text="The local AWS rejects malformed requests.")
