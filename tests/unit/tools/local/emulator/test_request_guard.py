import asyncio
from typing import Any

import pytest

from tools.local.emulator.request_guard import Receive, RequestGuard, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})


LOCAL = "127.0.0.1:4566"


def send_request(guard: RequestGuard, method: str = "POST", *, host: str = LOCAL, **headers: str) -> int:
    """Returns the response's status."""
    headers["host"] = host
    names = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return int(messages_for(guard, {"type": "http", "method": method, "headers": list(names.items())})[0]["status"])


def messages_for(guard: RequestGuard, scope: Scope) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    asyncio.run(guard(scope, receive, send))
    return sent


def test_rejects_web_pages() -> None:
    guard = RequestGuard(app)

    assert send_request(guard, origin="http://localhost:3000") == 403
    assert send_request(guard, origin="null", sec_fetch_site="same-origin") == 403
    assert send_request(guard, "GET", sec_fetch_site="cross-site") == 403
    assert send_request(guard, "GET", sec_fetch_site="same-site") == 403
    assert send_request(guard, host="rebound.evil.example:4566") == 403
    assert guard.changes == 0


@pytest.mark.parametrize(
    "host", [LOCAL, "localhost:4566", "[::1]:4566", "172.17.0.1:4566", "host.docker.internal:4566", "b.s3.localhost:1"]
)
def test_accepts_every_host_name_that_programs_use(host: str) -> None:
    assert send_request(RequestGuard(app), host=host) == 200


def test_accepts_a_developers_own_browser_request() -> None:
    assert send_request(RequestGuard(app), "GET", sec_fetch_site="none") == 200


def test_closes_web_sockets_of_pages() -> None:
    sent = messages_for(
        RequestGuard(app), {"type": "websocket", "headers": [(b"host", b"localhost"), (b"origin", b"null")]}
    )

    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_restores_the_page_headers_that_the_api_server_forwards() -> None:
    seen: list[Scope] = []

    async def record(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await app(scope, receive, send)

    assert send_request(RequestGuard(record), x_front_origin="https://chat.example.com") == 200
    assert dict(seen[0]["headers"])[b"origin"] == b"https://chat.example.com"


def test_counts_only_requests_that_may_change_state() -> None:
    guard = RequestGuard(app)

    send_request(guard, "GET")
    send_request(guard, x_amz_target="DynamoDB_20120810.GetItem")
    send_request(guard, x_amz_target="Logs_20140328.FilterLogEvents")
    assert guard.changes == 0

    send_request(guard, x_amz_target="DynamoDB_20120810.PutItem")
    send_request(guard, "PUT")
    send_request(guard, "POST")
    assert guard.changes == 3


def test_is_loaded_only_after_startup() -> None:
    guard = RequestGuard(app)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    before = guard.loaded
    asyncio.run(guard({"type": "lifespan"}, receive, send))

    assert (before, guard.loaded) == (False, True)
    assert sent == [{"type": "lifespan.startup.complete"}]
