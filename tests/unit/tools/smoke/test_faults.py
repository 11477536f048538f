"""Each check of the provider API and of the /v1 routes passes on a correct gateway and fails on a faulty one."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.tools.smoke.gateway_in_memory import (
    ANSWERS,
    MINE,
    FakeRequest,
    FakeResponse,
    Fault,
    GatewayInMemory,
    Responder,
    error,
)
from tools.smoke import providers, routes
from tools.smoke.__main__ import report
from tools.smoke.check import Target
from tools.smoke.registration import PROVIDERS

INCIDENT = {"begin": "2026-01-02T03:04:05.000000Z", "cause": "no"}
LATER_INCIDENT = INCIDENT | {"begin": "2026-01-03T03:04:05.000000Z"}
CHECKS = {check.name: check for check in providers.CHECKS + routes.CHECKS}


def change_response(method: str, path: str = "", **changes: Any) -> Fault:
    """Changes the `status`, `headers` (None removes one), `body` or its `fields` in the successful responses."""

    def fault(request: FakeRequest, respond: Responder) -> FakeResponse:
        response = respond(request)
        if request.method != method or not request.path.endswith(path) or response.status >= 400:
            return response
        headers = {**response.headers, **changes.get("headers", {})}
        body = changes.get("body", response.body)
        if isinstance(body, dict):
            body = body | changes.get("fields", {})
        return FakeResponse(
            changes.get("status", response.status), body, {k: v for k, v in headers.items() if v is not None}
        )

    return fault


def misread(original_method: str, **changes: Callable[[Any], Any]) -> Fault:
    """Changes the requests to one provider with this method."""

    def fault(request: FakeRequest, respond: Responder) -> FakeResponse:
        if request.method != original_method or request.path == PROVIDERS:
            return respond(request)
        changed = {name: change(getattr(request, name)) for name, change in changes.items()}
        return respond(replace(request, **changed))

    return fault


def replace_error(code: str | None, replacement: FakeResponse) -> Fault:
    """Replaces the error responses with this code, or all of them for None."""

    def fault(request: FakeRequest, respond: Responder) -> FakeResponse:
        response = respond(request)
        matches = response.status >= 400 and code in (None, response.body["error"]["code"])
        return replacement if matches and request.method != "DELETE" else response

    return fault


def ignores_if_match(request: FakeRequest, respond: Responder) -> FakeResponse:
    response = respond(request)
    if response.status == 412:
        respond(replace(request, headers={}))
    return response


def accepts_unknown_fields(request: FakeRequest, respond: Responder) -> FakeResponse:
    body = {name: value for name, value in request.body.items() if name != "colour"} if request.body else request.body
    return respond(replace(request, body=body))


def creates_by_put(request: FakeRequest, respond: Responder) -> FakeResponse:
    response = respond(request)
    if (request.method, response.status) != ("PUT", 404):
        return response
    body = request.body | {"id": request.path.rpartition("/")[2]}
    return respond(replace(request, method="POST", path=PROVIDERS, body=body))


def changes_the_etag_each_time(request: FakeRequest, respond: Responder) -> FakeResponse:
    response = respond(request)
    return replace(response, headers=response.headers | {"etag": f'"{secrets.token_hex(4)}"'})


def shows_the_key(request: FakeRequest, respond: Responder) -> FakeResponse:
    response = respond(request)
    return (
        replace(response, body=response.body | {"hint": request.body["api_key"]})
        if request.method == "PUT"
        else response
    )


def ignores_limit(request: FakeRequest, respond: Responder) -> FakeResponse:
    return respond(replace(request, query={name: value for name, value in request.query.items() if name != "limit"}))


def ignores_before(request: FakeRequest, respond: Responder) -> FakeResponse:
    return respond(replace(request, query={name: value for name, value in request.query.items() if name != "before"}))


def accepts_any_limit(request: FakeRequest, respond: Responder) -> FakeResponse:
    return respond(replace(request, query={}))


def gateway_error(source: str, **fields: str) -> FakeResponse:
    response = error(400, "invalid_request", **{"x-request-id": "1", "x-error-source": source})
    return replace(response, body=response.body | fields)


def provider_error(code: str = "provider_budget_spent", **headers: str) -> FakeResponse:
    right = {"x-error-source": "tokenhub", "x-provider-id": MINE, "x-request-id": "1"}
    return error(429, code, **right | headers)


OTHER_PROVIDER = {"x-provider-id": "another"}
FAULTS: list[tuple[str, Fault]] = [
    ("create provider", change_response("POST", PROVIDERS, status=200)),
    ("create provider", change_response("POST", PROVIDERS, headers={"location": None})),
    # An absolute path without the stage.
    ("create provider", change_response("POST", PROVIDERS, headers={"location": f"{PROVIDERS}/{MINE}"})),
    ("create provider", change_response("POST", PROVIDERS, headers={"location": f"providers/{MINE}"})),
    ("create provider", change_response("POST", PROVIDERS, fields={"api_key": None})),
    ("repeated registration", change_response("POST", PROVIDERS, status=201)),
    ("repeated registration", change_response("POST", PROVIDERS, headers={"etag": None})),
    ("repeated registration", changes_the_etag_each_time),
    ("get provider", change_response("GET", headers={"etag": None})),
    ("get provider", change_response("GET", headers={"etag": '"another"'})),
    ("get provider", change_response("GET", headers={"cache-control": None})),
    ("get provider", change_response("GET", fields={"api_key": "a key"})),
    ("get provider", change_response("GET", fields={"id": MINE})),
    ("missing provider", replace_error("provider_not_found", error(404, "not_found"))),
    ("missing provider", replace_error("provider_not_found", FakeResponse(404, {"message": "Not Found"}))),
    ("PATCH", misread("PATCH", method=lambda _: "PUT", body=lambda body: body | {"endpoint": "https://a.example"})),
    ("PATCH", misread("PATCH", body=lambda _: {})),
    ("PATCH with a stale ETag", misread("PATCH", headers=lambda _: {})),
    ("PATCH with a stale ETag", misread("PATCH", headers=lambda _: {"if-match": '"another"'})),
    ("PATCH with a stale ETag", ignores_if_match),
    ("PUT", misread("PUT", method=lambda _: "PATCH")),
    ("PUT", misread("PUT", body=lambda body: body | {"heartbeat": {"enabled": True}})),
    ("PUT", misread("PUT", method=lambda _: "GET")),
    ("provider key", shows_the_key),
    ("provider key", misread("PUT", body=lambda body: {"api_key": ""} | body)),
    ("provider key", misread("PUT", body=lambda body: body | {"api_key": "a key"})),
    ("invalid registration", replace_error("invalid_endpoint", FakeResponse(201, {}))),
    ("invalid registration", replace_error("invalid_request", FakeResponse(400, {"message": "Bad Request"}))),
    ("registration with an unknown field", accepts_unknown_fields),
    ("registration with an unknown field", replace_error(None, error(400, "invalid_request"))),
    ("DELETE", change_response("DELETE", status=200)),
    ("DELETE", change_response("DELETE", body="\n")),
    ("DELETE", misread("DELETE", method=lambda _: "GET")),
    ("DELETE", creates_by_put),
    ("heartbeat on request", change_response("POST", "/heartbeat", body={})),
    ("heartbeat on request", change_response("POST", "/heartbeat", fields={"status": "failed"})),
    ("heartbeat on request", change_response("POST", "/heartbeat", fields={"status": "pending"})),
    ("heartbeat on request", change_response("POST", "/heartbeat", fields={"error": "refused"})),
    ("heartbeat on request", change_response("POST", "/heartbeat", fields={"id": "another"})),
    ("heartbeat history", ignores_limit),
    ("heartbeat history", change_response("GET", "/heartbeats", fields={"items": []})),
    ("heartbeat history", change_response("GET", "/heartbeats", fields={"next": None})),
    ("heartbeat history", change_response("GET", "/heartbeats", fields={"uptime_24h": None})),
    ("heartbeat history", change_response("GET", "/heartbeats", fields={"uptime_24h": 100})),
    ("heartbeat history", change_response("GET", "/heartbeats", body={"items": []})),
    ("heartbeat history, next page", ignores_before),
    ("heartbeat history, next page", change_response("GET", "/heartbeats", fields={"next": None})),
    ("heartbeat history over the limit", accepts_any_limit),
    ("heartbeat history in buckets", change_response("GET", "/heartbeats", fields={"items": []})),
    (
        "heartbeat history in buckets",
        change_response("GET", "/heartbeats", fields={"items": [{"from": "2026-01-02T03:04:00Z", "beats": 3}]}),
    ),
    (
        "heartbeat history in buckets",
        change_response("GET", "/heartbeats", fields={"items": [{"from": "2026-01-02T03:00:00Z", "beats": 2}]}),
    ),
    ("uptime", change_response("GET", "/uptime", body={})),
    ("uptime", change_response("GET", "/uptime", fields={"days": []})),
    ("uptime", change_response("GET", "/uptime", fields={"half_hours": [{"beats": 3}]})),
    ("uptime", change_response("GET", "/uptime", fields={"last_7d": {"beats": 99}})),
    ("incidents", change_response("GET", "/incidents", body={})),
    ("incidents", change_response("GET", "/incidents", fields={"items": [INCIDENT, INCIDENT, INCIDENT]})),
    ("incidents", change_response("GET", "/incidents", fields={"items": [INCIDENT, LATER_INCIDENT]})),
    ("incidents", change_response("GET", "/incidents", fields={"items": [INCIDENT | {"cause": ""}]})),
    ("provider models", change_response("GET", "/models", body=None)),
    ("provider models", change_response("GET", "/models", fields={"models": None})),
    ("provider models", change_response("GET", "/models", fields={"models": []})),
    ("OpenAPI document", change_response("GET", "openapi.json", fields={"openapi": "3.0.1"})),
    ("OpenAPI document", change_response("GET", "openapi.json", fields={"paths": {}})),
    ("OpenAPI document", change_response("GET", "openapi.json", fields={"servers": [{"url": "/"}]})),
    *((path, change_response("POST", path, body={})) for path in list(ANSWERS)[:4]),
    *((path, change_response("POST", path, status=500)) for path in list(ANSWERS)[:4]),
    *((path, change_response("POST", path, headers={"x-request-id": None})) for path in list(ANSWERS)[:4]),
    *((path, change_response("POST", path, headers=OTHER_PROVIDER)) for path in list(ANSWERS)[:4]),
    ("gateway error", replace_error(None, gateway_error("tokenhub"))),
    ("gateway error", replace_error(None, gateway_error("gateway", type="message"))),
    ("gateway error", replace_error(None, error(502, "gateway_error"))),
    ("provider error", replace_error(None, provider_error(**{"x-error-source": "gateway"}))),
    ("provider error", replace_error(None, provider_error(**OTHER_PROVIDER))),
    ("provider error", replace_error(None, provider_error("throttled"))),
]


def has_failed(name: str, gateway: GatewayInMemory, *, rehearsal: bool = True) -> bool:
    return report(CHECKS[name], Target(gateway, None, rehearsal))


@pytest.mark.parametrize("provider", [None, MINE])
@pytest.mark.parametrize("rehearsal", [True, False])
@pytest.mark.parametrize("name", CHECKS)
def test_passes_on_a_correct_gateway(name: str, rehearsal: bool, provider: str | None) -> None:
    gateway = GatewayInMemory(provider=provider)

    assert not has_failed(name, gateway, rehearsal=rehearsal)
    assert list(gateway.known) == [MINE]


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[f"{name}-{place}" for place, (name, _) in enumerate(FAULTS)])
def test_fails_on_a_faulty_gateway(name: str, fault: Fault, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = GatewayInMemory(fault, provider=MINE)

    assert has_failed(name, gateway)
    response = capsys.readouterr().err
    assert all(f"The provider {provider} may still be" in response for provider in gateway.known if provider != MINE)


def test_every_check_has_a_fault() -> None:
    assert {name for name, _ in FAULTS} == set(CHECKS)


@pytest.mark.parametrize(("source", "fails"), [("tokenhub", False), ("model", False), ("gateway", True), (None, True)])
def test_accepts_errors_of_a_real_tokenhub_only(source: str | None, fails: bool) -> None:
    labels = {"x-request-id": "1", "x-provider-id": MINE} | ({"x-error-source": source} if source else {})
    gateway = GatewayInMemory(lambda _asked, _answer: error(404, "provider_model_unknown", **labels))

    assert has_failed("/v1/embeddings", gateway, rehearsal=False) is fails


def loses_the_response(request: FakeRequest, respond: Responder) -> FakeResponse:
    response = respond(request)
    if (request.method, request.path) == ("POST", PROVIDERS):
        raise ConnectionError("the connection was closed without a response")
    return response


def test_deletes_the_provider_when_the_response_is_lost() -> None:
    gateway = GatewayInMemory(loses_the_response)

    assert has_failed("create provider", gateway)
    assert list(gateway.known) == [MINE]


def test_reports_a_missing_provider_under_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert has_failed("heartbeat on request", GatewayInMemory(provider="gone"))
    assert "| gone is missing among 1 registered ones |" in capsys.readouterr().out
