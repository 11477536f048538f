"""The local AWS as the containers of `sam local` see it: each function calls it as the role that it has when deployed.

`sam local` gives all containers the credentials of the shell, or made-up ones, and nothing can change that. So each
function has a path of its own here, and a request under it is signed anew with that function's role. What the
template does not allow fails here, too, and no container gets at the local AWS's own controls.

Whoever asks here gets a role, so a secret stands before the functions' paths: only who was given the address has it.
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
from tools.local.deployed import Function
from tools.local.sam_local import bridge
from tools.local.settings import REGION

MOST_BODY = 8 * 1024 * 1024  # Lambda's limit for a payload is 6 MB
_SERVICE = re.compile(r"Credential=[^/]*/\d{8}/[^/]+/([a-z0-9-]+)/aws4_request")
_OURS = {"accept-encoding", "authorization", "connection", "content-length", "expect", "host", "transfer-encoding"}
_OURS |= {"x-amz-date", "x-amz-content-sha256"}  # botocore replaces the session token itself
_NOT_DOWN = {"connection", "content-length", "date", "server", "transfer-encoding"}

type CredentialsOf = Callable[[Function], Mapping[str, str]]


class AwsRelay:
    """Serves `/SECRET/LOGICAL_ID/…` for the functions of one stack. `credentials` blocks for some milliseconds."""

    def __init__(self, aws_url: str, functions: tuple[Function, ...], credentials: CredentialsOf) -> None:
        self._aws_url = aws_url
        self._functions = {function.logical_id: function for function in functions}
        self._credentials = credentials
        self._secret = secrets.token_urlsafe(32)

    def url(self, host: str, port: int) -> str:
        """What the functions' paths are appended to, where the relay is reached by that name."""
        return f"http://{host}:{port}/{self._secret}"

    @asynccontextmanager
    async def serving(self, door: IPv4Interface, port: int) -> AsyncIterator[int]:
        """Listens on that address, for its own network only, as long as the block runs, and gives the port.

        Raises OSError if it is taken.
        """

        async def serve(request: web.Request) -> web.Response:
            stranger = None if bridge.knows(door, request.remote) else "does not answer other networks than its own"
            if reason := stranger or browser_guard.refusal(request.headers.items()):
                return web.Response(status=403, text=f"The local AWS {reason}.")
            return await self._serve(request)

        app = web.Application(client_max_size=MOST_BODY)
        app.router.add_route("*", "/{secret:[^/]+}/{function:[^/]+}{rest:.*}", serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
                await web.TCPSite(runner, str(door.ip), port).start()
                yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        function = self._functions.get(request.match_info["function"])
        service = _SERVICE.search(request.headers.get("Authorization", ""))
        told = hmac.compare_digest(request.match_info["secret"].encode(), self._secret.encode())
        if function is None or service is None or not told:
            return web.Response(status=403, text="Only the functions of the stack call the local AWS from here.")
        given = await asyncio.to_thread(self._credentials, function)
        path = request.raw_path.removeprefix(f"/{self._secret}/{function.logical_id}")
        signed = sign(request.method, self._aws_url + path, request.headers, await request.read(), service[1], given)
        try:
            async with self._session.request(
                request.method, URL(self._aws_url + path, encoded=True), headers=dict(signed.headers), data=signed.data
            ) as answer:
                headers = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_DOWN}
                return web.Response(status=answer.status, headers=headers, body=await answer.read())
        except aiohttp.ClientError:
            return web.Response(status=502, text="The local AWS does not answer.")


def sign(
    method: str, url: str, headers: Mapping[str, str], body: bytes, service: str, credentials: Mapping[str, str]
) -> AWSRequest:
    """The same request by another caller; `credentials` are environment variables, as Lambda sets them."""
    kept = {name: value for name, value in headers.items() if name.lower() not in _OURS}
    request = AWSRequest(method, url, data=body, headers=kept)
    caller = Credentials(
        credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_SECRET_ACCESS_KEY"], credentials["AWS_SESSION_TOKEN"]
    )
    SigV4Auth(caller, service, REGION).add_auth(request)
    return request
