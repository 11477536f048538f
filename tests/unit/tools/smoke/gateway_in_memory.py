"""An in-memory gateway that follows the contract, with injectable faults."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tools.smoke.providers import OPENAPI_PATH, ROUTES
from tools.smoke.registration import PROVIDERS
from tools.smoke.wire import Gateway, Response

type Json = dict[str, Any]

URL = "https://gateway.example/prod"
MINE = "tokenhub"
FIELDS = {"id", "endpoint", "name", "description", "api_key", "heartbeat"}
BEATS: list[Json] = [{"at": f"2026-01-02T03:04:0{second}Z", "status": "healthy"} for second in (3, 2, 1)]
CHOICES = {"choices": [{"message": {"content": "hello"}}]}
ANSWERS = {
    "/v1/messages": {"type": "message", "content": [{"type": "text", "text": "hello"}]},
    "/v1/embeddings": {"data": [{"embedding": [0.5]}]},
    "/v1/chat": {"negotiated_model": "echo", "response": CHOICES},
    "/v1/plan": {"negotiated_model": "echo", "response": CHOICES},
    "/v1/chat/completions": CHOICES,
}


@dataclass(frozen=True)
class FakeRequest:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass(frozen=True)
class FakeResponse:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


type Responder = Callable[[FakeRequest], FakeResponse]
type Fault = Callable[[FakeRequest, Responder], FakeResponse]


def error(status: int, code: str, param: str | None = None, **headers: str) -> FakeResponse:
    details = {"message": "m", "type": "t", "code": code, "param": param}
    return FakeResponse(status, {"type": "error", "error": details}, headers)


class GatewayInMemory(Gateway):
    """Passes each request through `fault`. `known` contains the registered providers."""

    def __init__(self, fault: Fault | None = None, provider: str | None = None) -> None:
        super().__init__(URL, "token", provider)
        self._fault = fault or (lambda request, respond: respond(request))
        self._revision = 0
        self.known: dict[str, Json] = {MINE: {"endpoint": "https://tokenhub.example/v1"}}

    def request(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> Response:
        place, _, query = path.partition("?")
        # Every token is allowed.
        del token
        content = json.loads(json.dumps(body)) if not isinstance(body, bytes) else body
        sent = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        response = self._fault(FakeRequest(method, place, dict(parse_qsl(query)), content, sent), self.respond)
        encoded = b"" if response.body is None else json.dumps(response.body).encode()
        return Response(response.status, response.headers, 100, 0.1, [(0.1, encoded)] if encoded else [], complete=True)

    def respond(self, request: FakeRequest) -> FakeResponse:
        if request.path.startswith("/v1/"):
            return self._forwarded(request)
        if request.path == OPENAPI_PATH:
            return document()
        provider, _, subresource = request.path.removeprefix(PROVIDERS).strip("/").partition("/")
        if provider and provider not in self.known:
            return error(404, "provider_not_found")
        if subresource:
            return subresource_response(provider, subresource, request.query)
        calls = {"GET": self._get, "POST": self._post, "PUT": self._put, "PATCH": self._patch, "DELETE": self._delete}
        return calls[request.method](provider, request)

    def _forwarded(self, request: FakeRequest) -> FakeResponse:
        if isinstance(request.body, bytes):
            return error(400, "invalid_request", **{"x-error-source": "gateway", "x-request-id": "1"})
        routing_headers = {"x-request-id": "1", "x-provider-id": self.provider or MINE}
        if request.body.get("model") == "rehearse/budget":
            return error(429, "provider_budget_spent", **routing_headers | {"x-error-source": "tokenhub"})
        return FakeResponse(200, ANSWERS[request.path], routing_headers)

    def _get(self, provider: str, _: FakeRequest) -> FakeResponse:
        return self._view(provider) if provider else FakeResponse(200, [self._view(each).body for each in self.known])

    def _post(self, _: str, request: FakeRequest) -> FakeResponse:
        provider = request.body["id"]
        is_new = provider not in self.known
        response = self._put(provider, request)
        location = {"location": f"providers/{provider}"} if is_new else {}
        if response.status != 200:
            return response
        return FakeResponse(201 if is_new else 200, response.body, response.headers | location)

    def _put(self, provider: str, request: FakeRequest) -> FakeResponse:
        before = self.known.get(provider, {})
        kept = {name: before[name] for name in ("api_key", "heartbeat") if name in before}
        return self._change(provider, kept | request.body, request)

    def _patch(self, provider: str, request: FakeRequest) -> FakeResponse:
        return self._change(provider, self.known[provider] | request.body, request)

    def _change(self, provider: str, updated: Json, request: FakeRequest) -> FakeResponse:
        if unknown := request.body.keys() - FIELDS:
            return error(400, "invalid_request", unknown.pop())
        if "endpoint" not in updated:
            return error(400, "invalid_request", "endpoint")
        if "://" not in updated["endpoint"]:
            return error(400, "invalid_endpoint", "endpoint")
        before = self.known.get(provider)
        if "if-match" in request.headers and (before is None or request.headers["if-match"] != before.get("etag")):
            return error(412, "precondition_failed")
        if before is None or {**before, "etag": ""} != {**updated, "etag": "", "id": provider}:
            self._revision += 1
        self.known[provider] = updated | {"id": provider, "etag": f'"{self._revision}"'}
        return self._view(provider)

    def _delete(self, provider: str, _: FakeRequest) -> FakeResponse:
        del self.known[provider]
        return FakeResponse(204)

    def _view(self, provider: str) -> FakeResponse:
        own: Json = {"name": provider, "description": "", "heartbeat": {"enabled": True}} | self.known[provider]
        more = {"id": provider, "default": provider == MINE, "requires_key": bool(own.get("api_key"))}
        public_fields = {name: value for name, value in own.items() if name not in ("api_key", "etag")}
        return FakeResponse(200, public_fields | more, {"etag": own.get("etag", '"0"'), "cache-control": "no-store"})


COUNTED, EMPTY = {"beats": 3}, {"beats": 0}
UPTIME: Json = {
    **dict.fromkeys(("last_24h", "last_7d", "last_30d", "last_90d"), COUNTED),
    "half_hours": [COUNTED, *[EMPTY] * 47],
    "days": [COUNTED, *[EMPTY] * 89],
    "rolled_up_until": "2026-01-02T03:30:00Z",
}


def subresource_response(provider: str, subresource: str, query: dict[str, str]) -> FakeResponse:
    if subresource == "heartbeat":
        return FakeResponse(200, {"id": provider, "error": None, "latency_ms": 2} | BEATS[0])
    if subresource == "models":
        return FakeResponse(200, {"models": [{"id": "echo"}]})
    if subresource == "uptime":
        return FakeResponse(200, UPTIME)
    if subresource == "incidents":
        return FakeResponse(200, {"items": [{"begin": "2026-01-02T03:00:00Z", "cause": "no"}], "next": None})
    limit, before = int(query.get("limit", "50")), query.get("before", "9")
    if limit > 500:
        return error(400, "invalid_request", "limit")
    counted = {"uptime_24h": 1.0, "beats_24h": 3, "good_24h": 3}
    if "bucket" in query:
        return FakeResponse(200, counted | {"items": [{"from": "2026-01-02T03:00:00Z", "beats": 3}], "next": None})
    page = [beat for beat in BEATS if beat["at"] < before]
    after = page[limit - 1]["at"] if len(page) > limit else None
    return FakeResponse(200, counted | {"items": page[:limit], "next": after})


def document() -> FakeResponse:
    paths: dict[str, Json] = {}
    for method, path in (route.split() for route in ROUTES):
        paths.setdefault(path, {})[method.lower()] = {}
    return FakeResponse(200, {"openapi": "3.1.0", "servers": [{"url": "/prod"}], "paths": paths})
