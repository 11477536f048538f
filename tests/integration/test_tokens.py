import os
import subprocess
import sys

import httpx
import pytest

from tests.local_system import LocalSystem
from tools.local.settings import REPOSITORY

ADMIN = {"GET /api/v1/providers": "open", "GET /v1/models": "open", "GET /health": "open"}
ADMIN |= {"GET /status": "open", "GET /status/data": "open", "HEAD /health": "open"}
CLIENT = ADMIN | {"GET /api/v1/providers": "forbidden"}
WRONG = ADMIN | {"GET /api/v1/providers": "unauthorized", "GET /v1/models": "unauthorized"}
WRONG |= {"GET /status/data": "unauthorized"}
REFUSED = {401: "unauthorized", 403: "forbidden"}


def called(http: httpx.Client, token: str, order: int = 1) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"}
    responses = {call: http.request(*call.split(), headers=headers) for call in list(ADMIN)[::order]}
    return {call: REFUSED.get(response.status_code, "open") for call, response in responses.items()}


@pytest.mark.parametrize("order", [1, -1], ids=["provider API first", "v1 first"])
def test_each_token_opens_only_its_routes(system: LocalSystem, http: httpx.Client, order: int) -> None:
    assert called(http, system.token("admin"), order) == ADMIN
    assert called(http, system.token("client"), order) == CLIENT
    assert called(http, "wrong", order) == WRONG


@pytest.mark.parametrize("token", ["admin", "client", "wrong"])
def test_x_api_key_opens_the_anthropic_routes_only(system: LocalSystem, http: httpx.Client, token: str) -> None:
    value = token if token == "wrong" else system.token(token)
    by_api_key, by_bearer = {"x-api-key": value}, {"Authorization": f"Bearer {value}"}

    # 503 where no provider is registered.
    expected = {401} if token == "wrong" else {200, 503}
    assert http.get("/anthropic/v1/models", headers=by_api_key).status_code in expected
    assert http.get("/anthropic/v1/models", headers=by_bearer).status_code == 401
    assert http.get("/v1/models", headers=by_api_key).status_code == 401
    assert http.get("/api/v1/providers", headers=by_api_key).status_code == 401


@pytest.mark.parametrize("name", ["api-key", "x-goog-api-key"])
def test_a_request_with_a_token_in_another_header_gets_no_local_token(http: httpx.Client, name: str) -> None:
    response = http.get("/api/v1/providers", headers={name: "wrong"})

    assert (response.status_code, response.headers["x-should-retry"]) == (401, "false")


def test_web_page_requests_get_no_local_token(http: httpx.Client) -> None:
    response = http.get("/api/v1/providers", headers={"Origin": "https://example.com"})

    assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")


def test_rejects_a_foreign_host(http: httpx.Client) -> None:
    response = http.get("/health", headers={"Host": "evil.example.com"})

    assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden_host")


def test_rotation_breaks_no_client_and_prints_only_the_new_token(system: LocalSystem, http: httpx.Client) -> None:
    old = system.token("client")
    assert called(http, old) == CLIENT

    done = subprocess.run(
        [sys.executable, "-m", "tools.ops.rotate", "client"],
        cwd=REPOSITORY,
        env=os.environ | {"AWS_PORT": str(system.aws_port)},
        capture_output=True,
        text=True,
        check=True,
    )

    new = done.stdout.removesuffix("\n")
    assert new == system.token("client") != old
    assert "until the next rotation" in done.stderr
    assert new not in done.stderr
    assert called(http, new) == called(http, old) == CLIENT
