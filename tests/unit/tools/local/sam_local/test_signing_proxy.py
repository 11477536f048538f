"""The signing proxy: who may call it, and which role signs the requests."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
from aiohttp import web

from tests.unit.tools.local.running_server import make_function
from tools.local.deployment import Function
from tools.local.sam_local.signing_proxy import SigningProxy

INTERFACE = IPv4Interface("127.0.0.1/30")
ROLE = {"AWS_ACCESS_KEY_ID": "ROLEKEY", "AWS_SECRET_ACCESS_KEY": "role-secret", "AWS_SESSION_TOKEN": "role-session"}
AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=SHELLKEY/20261122/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, "


class LocalAws:
    """Records requests and returns the configured response."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.response = web.Response(text='{"TableNames": []}', content_type="application/x-amz-json-1.0")

    async def serve(self, request: web.Request) -> web.Response:
        self.requests.append(
            (request.raw_path, {k.lower(): v for k, v in request.headers.items()}, await request.read())
        )
        return self.response


@asynccontextmanager
async def proxied(aws: LocalAws, function: Function) -> AsyncIterator[str]:
    """Yields the proxy's URL without a function's path."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", aws.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        proxy = SigningProxy(url, (function,), lambda function: ROLE | {"for": function.name})
        async with proxy.serving(INTERFACE, 0) as port:
            yield proxy.url("127.0.0.1", port)
    finally:
        await runner.cleanup()


def run(aws: LocalAws, folder: Path, use: Callable[[str], Awaitable[None]]) -> None:
    async def run_with_proxy() -> None:
        async with proxied(aws, make_function(folder)) as url:
            await use(url)

    asyncio.run(asyncio.wait_for(run_with_proxy(), 20))


def client(service: Any, url: str) -> Any:
    session = boto3.Session("SHELLKEY", "shell-secret", "shell", "eu-west-1")
    return session.client(service, endpoint_url=f"{url}/CompletionsFunction")


def test_signs_with_the_functions_role_and_the_local_region(tmp_path: Path) -> None:
    aws = LocalAws()

    async def use(url: str) -> None:
        assert (await asyncio.to_thread(client("dynamodb", url).list_tables))["TableNames"] == []

    run(aws, tmp_path, use)
    [(path, headers, body)] = aws.requests
    assert path == "/"
    assert body == b"{}"
    assert "Credential=ROLEKEY/" in headers["authorization"]
    assert "/us-east-1/dynamodb/aws4_request" in headers["authorization"]
    assert headers["x-amz-security-token"] == "role-session"
    assert headers["x-amz-target"] == "DynamoDB_20120810.ListTables"


def test_removes_the_shells_credentials(tmp_path: Path) -> None:
    aws = LocalAws()

    async def use(url: str) -> None:
        await asyncio.to_thread(client("dynamodb", url).list_tables)

    run(aws, tmp_path, use)
    assert "SHELLKEY" not in str(aws.requests)
    assert "shell" not in str(aws.requests[0][1].get("x-amz-security-token"))


def test_keeps_the_paths_encoding(tmp_path: Path) -> None:
    aws = LocalAws()
    aws.response = web.Response(status=202)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:heartbeat:live"

    async def use(url: str) -> None:
        invoke = client("lambda", url).invoke
        await asyncio.to_thread(lambda: invoke(FunctionName=arn, InvocationType="Event", Payload=b'{"a": 1}'))

    run(aws, tmp_path, use)
    [(path, headers, body)] = aws.requests
    assert path == f"/2015-03-31/functions/{arn.replace(':', '%3A')}/invocations"
    assert headers["x-amz-invocation-type"] == "Event"
    assert body == b'{"a": 1}'


def test_returns_errors_unchanged(tmp_path: Path) -> None:
    aws = LocalAws()
    aws.response = web.Response(status=400, text=json.dumps({"__type": "AccessDeniedException", "message": "no"}))

    async def use(url: str) -> None:
        dynamodb = client("dynamodb", url)
        with pytest.raises(dynamodb.exceptions.ClientError, match="AccessDeniedException"):
            await asyncio.to_thread(dynamodb.list_tables)

    run(aws, tmp_path, use)


@pytest.mark.parametrize("path", ["/_ministack/reset", "/AnotherFunction/", "/CompletionsFunction/_ministack/reset"])
def test_rejects_unknown_functions_and_unsigned_requests(tmp_path: Path, path: str) -> None:
    aws = LocalAws()

    async def use(url: str) -> None:
        signed = {} if path.startswith("/Completions") else {"Authorization": AUTHORIZATION}
        async with aiohttp.ClientSession() as session, session.post(url + path, headers=signed) as response:
            assert response.status == 403

    run(aws, tmp_path, use)
    assert aws.requests == []


async def check_rejected(url: str, headers: dict[str, str] | None = None, peer: str = "127.0.0.1") -> None:
    connector = aiohttp.TCPConnector(local_addr=(peer, 0))
    signed = {"Authorization": AUTHORIZATION} | (headers or {})
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(f"{url}/CompletionsFunction/", headers=signed) as response,
    ):
        assert response.status == 403


def test_rejects_requests_without_the_secret_path(tmp_path: Path) -> None:
    aws = LocalAws()

    async def use(url: str) -> None:
        origin = url.rpartition("/")[0]
        for wrong_url in (f"{origin}/{'x' * 43}", f"{origin}/%C3%A9", url[:-1]):
            await check_rejected(wrong_url)
        async with aiohttp.ClientSession() as session:
            signed = {"Authorization": AUTHORIZATION}
            async with session.post(f"{origin}/CompletionsFunction/", headers=signed) as response:
                assert response.status in (403, 404)

    run(aws, tmp_path, use)
    assert aws.requests == []


def test_each_proxy_has_its_own_secret(tmp_path: Path) -> None:
    urls = {
        SigningProxy("http://127.0.0.1:1", (make_function(tmp_path),), lambda _: ROLE).url("h", 1) for _ in range(9)
    }

    assert len(urls) == 9
    assert min(map(len, urls)) > 43


def test_rejects_peers_of_other_networks_despite_the_secret(tmp_path: Path) -> None:
    aws = LocalAws()

    async def use(url: str) -> None:
        await check_rejected(url, peer="127.0.0.9")

    run(aws, tmp_path, use)
    assert aws.requests == []


@pytest.mark.parametrize(
    "page_headers",
    [{"Host": "rebound.evil.example.com"}, {"Origin": "https://evil.example.com"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=lambda headers: next(iter(headers)),
)
def test_rejects_web_pages(tmp_path: Path, page_headers: dict[str, str]) -> None:
    aws = LocalAws()

    async def use(url: str) -> None:
        await check_rejected(url, page_headers)

    run(aws, tmp_path, use)
    assert aws.requests == []


def test_returns_502_without_a_local_aws(tmp_path: Path) -> None:
    async def use() -> None:
        proxy = SigningProxy("http://127.0.0.1:1", (make_function(tmp_path),), lambda _: ROLE)
        async with proxy.serving(INTERFACE, 0) as port, aiohttp.ClientSession() as session:
            url = f"{proxy.url('127.0.0.1', port)}/CompletionsFunction/"
            async with session.post(url, headers={"Authorization": AUTHORIZATION}) as response:
                assert response.status == 502

    asyncio.run(asyncio.wait_for(use(), 10))
