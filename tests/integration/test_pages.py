"""CORS: pages of an allowed origin can call the gateway, other pages cannot."""

import httpx
import pytest

from tests.integration.conftest import PAGE, Register
from tests.local_system import LocalSystem

OTHER = "https://evil.example.com"
PATHS = [
    "/api/v1/providers",
    "/api/v1/providers/tokenhub",
    "/v1/chat/completions",
    "/v1/models",
    "/health",
    "/status/data",
]
ALLOW = "access-control-allow-origin"


def preflight(http: httpx.Client, path: str, origin: str) -> httpx.Response:
    requested = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return http.options(path, headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"} | requested)


@pytest.mark.parametrize("path", PATHS)
def test_preflight_allows_configured_origins_without_a_token(http: httpx.Client, path: str) -> None:
    allowed, refused = preflight(http, path, PAGE), preflight(http, path, OTHER)

    assert (allowed.status_code, allowed.headers[ALLOW]) == (204, PAGE)
    assert allowed.headers["access-control-allow-headers"].startswith("Authorization")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert not [name for name in refused.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/api/v1/providers", "/v1/models"])
def test_responses_allow_configured_origins_only(
    http: httpx.Client, register: Register, system: LocalSystem, path: str
) -> None:
    register()
    token = {"Authorization": f"Bearer {system.token('admin')}"}

    own, other, none = (http.get(path, headers=token | origin) for origin in ({"Origin": PAGE}, {"Origin": OTHER}, {}))

    assert (own.status_code, own.headers[ALLOW], own.headers["vary"]) == (200, PAGE, "Origin")
    assert "X-Request-Id" in own.headers["access-control-expose-headers"]
    assert ALLOW not in other.headers
    assert ALLOW not in none.headers


@pytest.mark.parametrize("path", ["/api/v1/providers", "/v1/models", "/nowhere"])
def test_api_gateway_errors_allow_every_origin(http: httpx.Client, path: str) -> None:
    response = http.get(path, headers={"Origin": PAGE})

    assert response.status_code in (401, 404)
    assert response.headers[ALLOW] == "*"
    assert response.headers["access-control-expose-headers"] == "Retry-After, X-Request-Id, X-Should-Retry"
    assert "access-control-allow-credentials" not in response.headers


def test_function_errors_allow_configured_origins(http: httpx.Client, system: LocalSystem) -> None:
    token = {"Authorization": f"Bearer {system.token('admin')}", "Origin": PAGE}

    responses = [http.post(path, content=b"{", headers=token) for path in ("/api/v1/providers", "/v1/messages")]

    assert [(response.status_code, response.headers[ALLOW]) for response in responses] == [(400, PAGE)] * 2
