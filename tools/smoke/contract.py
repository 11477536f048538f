"""Checks of the HTTP API's contract from a client's view."""

import json
import time
from typing import Any
from urllib.parse import urlsplit

from tools.smoke.check import Check, Skipped, Target, require
from tools.smoke.wire import Gateway, Response

FIRST_HEARTBEAT_TIMEOUT_S = 20
CHAT_REQUEST: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
MB = 1024 * 1024


def require_error(response: Response, status: int, code: str) -> str:
    """Requires an error response with this status and code."""
    return require((response.status, response.error_code) == (status, code), describe(response))


def describe(response: Response) -> str:
    """Describes a response by its status and error code, or by its status and the beginning of its body."""
    if response.error_code is not None:
        return f"{response.status} {response.error_code}"
    return f"{response.status}, {len(response.body)} bytes: {response.body[:80].decode('utf-8', 'replace')}"


def health(target: Target) -> str:
    response = target.gateway.request("GET", "/health", token="")
    return require((response.status, response.json()) == (200, {"status": "ok"}), describe(response))


def without_token(target: Target) -> str:
    response = target.gateway.request("GET", "/api/v1/providers", token="")
    if response.status == 200 and urlsplit(target.gateway.url).hostname in ("localhost", "127.0.0.1"):
        raise Skipped("`make dev` treats a request without a token as the admin's, unless LOCAL_TOKEN=off")
    return require_error(response, 401, "unauthorized")


def wrong_token(target: Target) -> str:
    """Claude Code repeats a 401 without x-should-retry for minutes. The AI SDK reads the outer type."""
    response = target.gateway.request("GET", "/v1/models", token="wrong")
    actual = require_error(response, 401, "unauthorized")
    retried = response.headers.get("x-should-retry") != "false"
    return require(response.json().get("type") == "error" and not retried, f"{actual}{', retried' if retried else ''}")


def api_key(target: Target) -> str:
    """Checks the routes under /anthropic, which read the token from x-api-key only."""
    require_error(target.gateway.request("GET", "/anthropic/v1/models", token="wrong"), 401, "unauthorized")
    response = target.gateway.request("GET", "/anthropic/v1/models")
    return require(response.status == 200 and "data" in (response.json() or {}), describe(response)[:60])


def client_token(target: Target) -> str:
    if target.client_token is None:
        raise Skipped("CLIENT_TOKEN is not set")
    return require_error(
        target.gateway.request("GET", "/api/v1/providers", token=target.client_token), 403, "forbidden"
    )


def unknown_path(target: Target) -> str:
    return require_error(target.gateway.request("GET", "/nowhere"), 404, "not_found")


def providers(target: Target) -> str:
    response = target.gateway.request("GET", "/api/v1/providers")
    listed = response.json()
    require(response.status == 200 and isinstance(listed, list), describe(response))
    has_key = any("api_key" in provider or "key_ciphertext" in provider for provider in listed)
    return require(not has_key, f"{len(listed)} providers{', with a key' if has_key else ', without keys'}")


def health_of_providers(target: Target) -> str:
    """Checks the default provider. Waits for the first heartbeat of a new one, which may take some seconds."""
    deadline = time.monotonic() + FIRST_HEARTBEAT_TIMEOUT_S
    while True:
        listed = target.gateway.request("GET", "/api/v1/providers").json()
        [default] = [provider for provider in listed if provider["default"]] or [None]
        if default is None:
            return require(False, "no provider is registered")
        if default["status"] != "pending" or time.monotonic() > deadline:
            break
        time.sleep(1)
    actual = f"{default['id']}: {default['status']}{', stale' if default['stale'] else ''}"
    error = default["last_heartbeat_error"]
    return require(default["status"] == "healthy" and not default["stale"], f"{actual} {error or ''}".strip())


def status_page(target: Target) -> str:
    """Checks the page, which needs no token, and its data. A stack with StatusPage=off answers 404 to both."""
    page = target.gateway.request("GET", "/status", token="")
    if page.error_code == "status_page_off":
        raise Skipped("StatusPage is off")
    require(page.status == 200 and page.body.startswith(b"<!DOCTYPE html>"), describe(page))
    require("default-src 'none'" in page.headers.get("content-security-policy", ""), "no Content-Security-Policy")
    response = target.gateway.request("GET", "/status/data")
    data = response.json()
    is_complete = response.status == 200 and isinstance(data, dict) and data["total"] == sum(data["counts"].values())
    return require(is_complete, f"{len(page.body)} bytes of HTML, {describe(response)[:40]}")


def models(target: Target) -> str:
    response = target.gateway.request("GET", "/v1/models")
    return require(
        response.status == 200 and "data" in (response.json() or {}), f"{response.status}, {len(response.body)} bytes"
    )


def completion(target: Target) -> str:
    response = target.gateway.request("POST", "/v1/chat/completions", CHAT_REQUEST)
    is_completion = (
        response.status == 200 and (response.json() or {}).get("choices") and has_routing_headers(target, response)
    )
    return require(is_completion, f"{describe(response)[:60]} after {response.head_after_s:.2f} s")


def has_routing_headers(target: Target, response: Response) -> bool:
    """Returns whether X-Request-Id is set and X-Provider-Id names the requested provider."""
    provider = response.headers.get("x-provider-id")
    requested = target.gateway.provider
    return bool(response.headers.get("x-request-id") and provider and requested in (None, provider))


def bad_json(target: Target) -> str:
    return require_error(target.gateway.request("POST", "/v1/chat/completions", b"{"), 400, "invalid_request")


def unknown_provider(target: Target) -> str:
    response = target.gateway.request(
        "POST", "/v1/chat/completions", CHAT_REQUEST, X_Provider_Id="nobody-has-this-name"
    )
    return require_error(response, 404, "provider_not_found")


def over_lambda_limit(target: Target) -> str:
    """API Gateway accepts 10 MB and Lambda 6 MB. Only AWS shows the response to a size in between."""
    response = target.gateway.request("POST", "/v1/chat/completions", chat_body_of_size(7 * MB))
    return require(response.status >= 400 and response.error_code is not None, describe(response))


def over_api_limit(target: Target) -> str:
    return require_error(request_with_retries(target.gateway, chat_body_of_size(11 * MB)), 413, "request_too_large")


def request_with_retries(gateway: Gateway, body: bytes, tries: int = 5) -> Response:
    """Sends a request up to `tries` times. A server may respond and close before it has read a large body, and the
    connection then sometimes loses the response."""
    try:
        return gateway.request("POST", "/v1/chat/completions", body)
    except OSError:
        if tries == 1:
            raise
    return request_with_retries(gateway, body, tries - 1)


def chat_body_of_size(size: int) -> bytes:
    """Returns a chat request of about `size` bytes."""
    return json.dumps({"messages": [{"role": "user", "content": "x" * size}]}).encode()


CHECKS = [
    Check("health", "200 without a token", health),
    Check("no token", "401 unauthorized", without_token),
    Check("wrong token", "401 unauthorized, X-Should-Retry: false", wrong_token),
    Check("x-api-key", "200 with a list, 401 for a wrong token", api_key),
    Check("client token on /api/v1", "403 forbidden", client_token),
    Check("unknown path", "404 not_found", unknown_path),
    Check("providers", "an array without keys", providers),
    Check("health of the default provider", "healthy, not stale", health_of_providers),
    Check("status page", "HTML with a policy, then its data", status_page),
    Check("models", "200 with a list", models),
    Check("completion", "200 with choices, X-Request-Id, X-Provider-Id", completion),
    Check("bad JSON", "400 invalid_request", bad_json),
    Check("unknown provider", "404 provider_not_found", unknown_provider),
    Check("request of 7 MB", "an error in the standard format", over_lambda_limit),
    Check("request of 11 MB", "413 request_too_large", over_api_limit),
]
