"""The contract of the HTTP API, as a client sees it."""

import json
import time
from typing import Any
from urllib.parse import urlsplit

from tools.smoke.check import Against, Check, Skipped, require
from tools.smoke.wire import Gateway, Reply

FIRST_BEAT_S = 20
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
MB = 1024 * 1024


def refused(reply: Reply, status: int, code: str) -> str:
    return require((reply.status, reply.code) == (status, code), told(reply))


def told(reply: Reply) -> str:
    if reply.code is not None:
        return f"{reply.status} {reply.code}"
    return f"{reply.status}, {len(reply.body)} bytes: {reply.body[:80].decode('utf-8', 'replace')}"


def health(against: Against) -> str:
    reply = against.gateway.ask("GET", "/health", token="")
    return require((reply.status, reply.json()) == (200, {"status": "ok"}), told(reply))


def without_token(against: Against) -> str:
    reply = against.gateway.ask("GET", "/api/v1/providers", token="")
    if reply.status == 200 and urlsplit(against.gateway.url).hostname in ("localhost", "127.0.0.1"):
        raise Skipped("`make dev` lets a bare request be the admin's, unless LOCAL_TOKEN=off")
    return refused(reply, 401, "unauthorized")


def wrong_token(against: Against) -> str:
    return refused(against.gateway.ask("GET", "/v1/models", token="wrong"), 401, "unauthorized")


def client_token(against: Against) -> str:
    if against.client_token is None:
        raise Skipped("CLIENT_TOKEN is not given")
    return refused(against.gateway.ask("GET", "/api/v1/providers", token=against.client_token), 403, "forbidden")


def unknown_path(against: Against) -> str:
    return refused(against.gateway.ask("GET", "/nowhere"), 404, "not_found")


def providers(against: Against) -> str:
    reply = against.gateway.ask("GET", "/api/v1/providers")
    found = reply.json()
    require(reply.status == 200 and isinstance(found, list), told(reply))
    return require(not [p for p in found if "api_key" in p or "key_ciphertext" in p], f"{len(found)}, no key in them")


def health_of_providers(against: Against) -> str:
    """The one that requests go to; the first beat of one that was just registered may take some seconds."""
    end = time.monotonic() + FIRST_BEAT_S
    while True:
        found = against.gateway.ask("GET", "/api/v1/providers").json()
        [default] = [provider for provider in found if provider["default"]] or [None]
        if default is None:
            return require(False, "no provider is registered")
        if default["status"] != "pending" or time.monotonic() > end:
            break
        time.sleep(1)
    seen = f"{default['id']}: {default['status']}{', stale' if default['stale'] else ''}"
    error = default["last_heartbeat_error"]
    return require(default["status"] == "healthy" and not default["stale"], f"{seen} {error or ''}".strip())


def models(against: Against) -> str:
    reply = against.gateway.ask("GET", "/v1/models")
    return require(reply.status == 200 and "data" in (reply.json() or {}), f"{reply.status}, {len(reply.body)} bytes")


def completion(against: Against) -> str:
    reply = against.gateway.ask("POST", "/v1/chat/completions", QUESTION)
    whole = reply.status == 200 and (reply.json() or {}).get("choices") and named(against, reply)
    return require(whole, f"{told(reply)[:60]} after {reply.head_at:.2f} s")


def named(against: Against, reply: Reply) -> bool:
    """Whether the answer tells which request it is for, and that it went to the provider that was asked for."""
    provider = reply.headers.get("x-provider-id")
    wanted = against.gateway.provider
    return bool(reply.headers.get("x-request-id") and provider and wanted in (None, provider))


def bad_json(against: Against) -> str:
    return refused(against.gateway.ask("POST", "/v1/chat/completions", b"{"), 400, "invalid_request")


def unknown_provider(against: Against) -> str:
    reply = against.gateway.ask("POST", "/v1/chat/completions", QUESTION, X_Provider_Id="nobody-has-this-name")
    return refused(reply, 404, "provider_not_found")


def over_lambdas_limit(against: Against) -> str:
    """API Gateway takes 10 MB and Lambda 6: what it answers in between, only AWS can say."""
    reply = against.gateway.ask("POST", "/v1/chat/completions", of_size(7 * MB))
    return require(reply.status >= 400 and reply.code is not None, told(reply))


def over_the_limit(against: Against) -> str:
    return refused(insisted(against.gateway, of_size(11 * MB)), 413, "request_too_large")


def insisted(gateway: Gateway, body: bytes, tries: int = 5) -> Reply:
    """A server may answer before it has read it all, and close: now and then that loses the answer on its way."""
    try:
        return gateway.ask("POST", "/v1/chat/completions", body)
    except OSError:
        if tries == 1:
            raise
    return insisted(gateway, body, tries - 1)


def of_size(size: int) -> bytes:
    """A chat request of about that many bytes."""
    return json.dumps({"messages": [{"role": "user", "content": "x" * size}]}).encode()


CHECKS = [
    Check("health", "200 without a token", health),
    Check("no token", "401 unauthorized", without_token),
    Check("wrong token", "401 unauthorized", wrong_token),
    Check("client token on /api/v1", "403 forbidden", client_token),
    Check("unknown path", "404 not_found", unknown_path),
    Check("providers", "an array without keys", providers),
    Check("health of the default provider", "healthy, not stale", health_of_providers),
    Check("models", "200 with a list", models),
    Check("completion", "200 with choices, X-Request-Id, X-Provider-Id", completion),
    Check("bad JSON", "400 invalid_request", bad_json),
    Check("unknown provider", "404 provider_not_found", unknown_provider),
    Check("request of 7 MB", "an error in the one shape", over_lambdas_limit),
    Check("request of 11 MB", "413 request_too_large", over_the_limit),
]
