"""A gateway that keeps the contract, in memory and without a socket; and what may be put in its way."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tools.smoke.providers import DOCUMENT, ROUTES
from tools.smoke.registration import PROVIDERS
from tools.smoke.wire import Gateway, Reply

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
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass(frozen=True)
class Answered:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


type Answer = Callable[[Asked], Answered]
type Fault = Callable[[Asked, Answer], Answered]


def error(status: int, code: str, param: str | None = None, **headers: str) -> Answered:
    return Answered(status, {"error": {"message": "m", "type": "t", "code": code, "param": param}}, headers)


class GatewayInMemory(Gateway):
    """`fault` stands between it and whoever asks. `known` has the providers that are registered."""

    def __init__(self, fault: Fault | None = None, provider: str | None = None) -> None:
        super().__init__(URL, "token", provider)
        self._fault = fault or (lambda asked, answer: answer(asked))
        self._revision = 0
        self.known: dict[str, Json] = {MINE: {"endpoint": "https://tokenhub.example/v1"}}

    def ask(self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str) -> Reply:
        place, _, query = path.partition("?")
        del token  # everyone may do everything here
        content = json.loads(json.dumps(body)) if not isinstance(body, bytes) else body
        sent = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        told = self._fault(Asked(method, place, dict(parse_qsl(query)), content, sent), self.answer)
        written = b"" if told.body is None else json.dumps(told.body).encode()
        return Reply(told.status, told.headers, 100, 0.1, [(0.1, written)] if written else [], clean=True)

    def answer(self, asked: Asked) -> Answered:
        if asked.path.startswith("/v1/"):
            return self._forwarded(asked)
        if asked.path == DOCUMENT:
            return document()
        provider, _, what = asked.path.removeprefix(PROVIDERS).strip("/").partition("/")
        if provider and provider not in self.known:
            return error(404, "provider_not_found")
        if what:
            return told_of(provider, what, asked.query)
        calls = {"GET": self._get, "POST": self._post, "PUT": self._put, "PATCH": self._patch, "DELETE": self._delete}
        return calls[asked.method](provider, asked)

    def _forwarded(self, asked: Asked) -> Answered:
        if isinstance(asked.body, bytes):
            told = error(400, "invalid_request")
            return Answered(400, told.body | {"type": "error"}, {"x-error-source": "gateway", "x-request-id": "1"})
        labels = {"x-request-id": "1", "x-provider-id": self.provider or MINE}
        if asked.body.get("model") == "rehearse/budget":
            return error(429, "provider_budget_spent", **labels | {"x-error-source": "provider"})
        return Answered(200, ANSWERS[asked.path], labels)

    def _get(self, provider: str, _: Asked) -> Answered:
        return self._view(provider) if provider else Answered(200, [self._view(each).body for each in self.known])

    def _post(self, _: str, asked: Asked) -> Answered:
        provider = asked.body["id"]
        is_new = provider not in self.known
        told = self._put(provider, asked)
        location = {"location": f"providers/{provider}"} if is_new else {}
        return told if told.status != 200 else Answered(201 if is_new else 200, told.body, told.headers | location)

    def _put(self, provider: str, asked: Asked) -> Answered:
        before = self.known.get(provider, {})
        kept = {name: before[name] for name in ("api_key", "heartbeat") if name in before}
        return self._change(provider, kept | asked.body, asked)

    def _patch(self, provider: str, asked: Asked) -> Answered:
        return self._change(provider, self.known[provider] | asked.body, asked)

    def _change(self, provider: str, wanted: Json, asked: Asked) -> Answered:
        if unknown := asked.body.keys() - FIELDS:
            return error(400, "invalid_request", unknown.pop())
        if "endpoint" not in wanted:
            return error(400, "invalid_request", "endpoint")
        if "://" not in wanted["endpoint"]:
            return error(400, "invalid_endpoint", "endpoint")
        before = self.known.get(provider)
        if "if-match" in asked.headers and (before is None or asked.headers["if-match"] != before.get("etag")):
            return error(412, "precondition_failed")
        if before is None or {**before, "etag": ""} != {**wanted, "etag": "", "id": provider}:
            self._revision += 1
        self.known[provider] = wanted | {"id": provider, "etag": f'"{self._revision}"'}
        return self._view(provider)

    def _delete(self, provider: str, _: Asked) -> Answered:
        del self.known[provider]
        return Answered(204)

    def _view(self, provider: str) -> Answered:
        own: Json = {"name": provider, "description": "", "heartbeat": {"enabled": True}} | self.known[provider]
        more = {"id": provider, "default": provider == MINE, "requires_key": bool(own.get("api_key"))}
        shown = {name: value for name, value in own.items() if name not in ("api_key", "etag")}
        return Answered(200, shown | more, {"etag": own.get("etag", '"0"'), "cache-control": "no-store"})


def told_of(provider: str, what: str, query: dict[str, str]) -> Answered:
    if what == "heartbeat":
        return Answered(200, {"id": provider, "error": None, "latency_ms": 2} | BEATS[0])
    if what == "models":
        return Answered(200, {"models": [{"id": "echo"}]})
    limit, before = int(query.get("limit", "50")), query.get("before", "9")
    if limit > 500:
        return error(400, "invalid_request", "limit")
    counted = {"uptime_24h": 1.0, "beats_24h": 3, "good_24h": 3}
    if "bucket" in query:
        return Answered(200, counted | {"items": [{"from": "2026-01-02T03:00:00Z", "beats": 3}], "next": None})
    found = [beat for beat in BEATS if beat["at"] < before]
    after = found[limit - 1]["at"] if len(found) > limit else None
    return Answered(200, counted | {"items": found[:limit], "next": after})


def document() -> Answered:
    paths: dict[str, Json] = {}
    for method, path in (route.split() for route in ROUTES):
        paths.setdefault(path, {})[method.lower()] = {}
    return Answered(200, {"openapi": "3.1.0", "servers": [{"url": "/prod"}], "paths": paths})
