"""Each check of the provider API and of the routes of /v1 passes on a gateway that keeps the contract, and fails on one
that breaks it in just that place."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.tools.smoke.gateway_in_memory import (
    ANSWERS,
    MINE,
    Answer,
    Answered,
    Asked,
    Fault,
    GatewayInMemory,
    error,
)
from tools.smoke import providers, routes
from tools.smoke.__main__ import report
from tools.smoke.check import Against
from tools.smoke.registration import PROVIDERS

CHECKS = {check.name: check for check in providers.CHECKS + routes.CHECKS}


def on(method: str, path: str = "", **more: Any) -> Fault:
    """Good answers to such requests with another `status`, `headers` (None for none), `body` or `fields` of it."""

    def fault(asked: Asked, answer: Answer) -> Answered:
        told = answer(asked)
        if asked.method != method or not asked.path.endswith(path) or told.status >= 400:
            return told
        headers = {**told.headers, **more.get("headers", {})}
        body = more.get("body", told.body)
        if isinstance(body, dict):
            body = body | more.get("fields", {})
        return Answered(more.get("status", told.status), body, {k: v for k, v in headers.items() if v is not None})

    return fault


def taken(asked_by: str, **changes: Callable[[Any], Any]) -> Fault:
    """Requests to a provider by that method are taken for others."""

    def fault(asked: Asked, answer: Answer) -> Answered:
        if asked.method != asked_by or asked.path == PROVIDERS:
            return answer(asked)
        given = {name: change(getattr(asked, name)) for name, change in changes.items()}
        return answer(replace(asked, **given))

    return fault


def refusing(code: str | None, told: Answered) -> Fault:
    """What is refused with that code (None: any) is answered like this."""

    def fault(asked: Asked, answer: Answer) -> Answered:
        found = answer(asked)
        is_meant = found.status >= 400 and code in (None, found.body["error"]["code"])
        return told if is_meant and asked.method != "DELETE" else found

    return fault


def writes_all_the_same(asked: Asked, answer: Answer) -> Answered:
    told = answer(asked)
    if told.status == 412:
        answer(replace(asked, headers={}))
    return told


def takes_unknown_fields(asked: Asked, answer: Answer) -> Answered:
    body = {name: value for name, value in asked.body.items() if name != "colour"} if asked.body else asked.body
    return answer(replace(asked, body=body))


def creates_by_put(asked: Asked, answer: Answer) -> Answered:
    told = answer(asked)
    if (asked.method, told.status) != ("PUT", 404):
        return told
    body = asked.body | {"id": asked.path.rpartition("/")[2]}
    return answer(replace(asked, method="POST", path=PROVIDERS, body=body))


def changes_each_time(asked: Asked, answer: Answer) -> Answered:
    told = answer(asked)
    return replace(told, headers=told.headers | {"etag": f'"{secrets.token_hex(4)}"'})


def shows_the_key(asked: Asked, answer: Answer) -> Answered:
    told = answer(asked)
    return replace(told, body=told.body | {"hint": asked.body["api_key"]}) if asked.method == "PUT" else told


def keeps_the_rest_of_a_page(asked: Asked, answer: Answer) -> Answered:
    return answer(replace(asked, query={name: value for name, value in asked.query.items() if name != "limit"}))


def begins_anew(asked: Asked, answer: Answer) -> Answered:
    return answer(replace(asked, query={name: value for name, value in asked.query.items() if name != "before"}))


def takes_any_limit(asked: Asked, answer: Answer) -> Answered:
    return answer(replace(asked, query={}))


def own_error(source: str, **beside: str) -> Answered:
    told = error(400, "invalid_request", **{"x-request-id": "1", "x-error-source": source})
    return replace(told, body=told.body | beside)


def told_refusal(code: str = "provider_budget_spent", **headers: str) -> Answered:
    right = {"x-error-source": "provider", "x-provider-id": MINE, "x-request-id": "1"}
    return error(429, code, **right | headers)


ANOTHER = {"x-provider-id": "another"}
FAULTS: list[tuple[str, Fault]] = [
    ("new provider", on("POST", PROVIDERS, status=200)),
    ("new provider", on("POST", PROVIDERS, headers={"location": None})),
    ("new provider", on("POST", PROVIDERS, headers={"location": f"{PROVIDERS}/{MINE}"})),  # without the stage
    ("new provider", on("POST", PROVIDERS, headers={"location": f"providers/{MINE}"})),
    ("new provider", on("POST", PROVIDERS, fields={"api_key": None})),
    ("same registration again", on("POST", PROVIDERS, status=201)),
    ("same registration again", on("POST", PROVIDERS, headers={"etag": None})),
    ("same registration again", changes_each_time),
    ("one provider", on("GET", headers={"etag": None})),
    ("one provider", on("GET", headers={"etag": '"another"'})),
    ("one provider", on("GET", headers={"cache-control": None})),
    ("one provider", on("GET", fields={"api_key": "a key"})),
    ("one provider", on("GET", fields={"id": MINE})),
    ("provider that there is not", refusing("provider_not_found", error(404, "not_found"))),
    ("provider that there is not", refusing("provider_not_found", Answered(404, {"message": "Not Found"}))),
    ("PATCH", taken("PATCH", method=lambda _: "PUT", body=lambda body: body | {"endpoint": "https://a.example"})),
    ("PATCH", taken("PATCH", body=lambda _: {})),
    ("PATCH of what was changed meanwhile", taken("PATCH", headers=lambda _: {})),
    ("PATCH of what was changed meanwhile", taken("PATCH", headers=lambda _: {"if-match": '"another"'})),
    ("PATCH of what was changed meanwhile", writes_all_the_same),
    ("PUT", taken("PUT", method=lambda _: "PATCH")),
    ("PUT", taken("PUT", body=lambda body: body | {"heartbeat": {"enabled": True}})),
    ("PUT", taken("PUT", method=lambda _: "GET")),
    ("key of a provider", shows_the_key),
    ("key of a provider", taken("PUT", body=lambda body: {"api_key": ""} | body)),
    ("key of a provider", taken("PUT", body=lambda body: body | {"api_key": "a key"})),
    ("bad registration", refusing("invalid_endpoint", Answered(201, {}))),
    ("bad registration", refusing("invalid_request", Answered(400, {"message": "Bad Request"}))),
    ("registration with an unknown field", takes_unknown_fields),
    ("registration with an unknown field", refusing(None, error(400, "invalid_request"))),
    ("DELETE", on("DELETE", status=200)),
    ("DELETE", on("DELETE", body="\n")),
    ("DELETE", taken("DELETE", method=lambda _: "GET")),
    ("DELETE", creates_by_put),
    ("heartbeat that is asked for", on("POST", "/heartbeat", body={})),
    ("heartbeat that is asked for", on("POST", "/heartbeat", fields={"status": "failed"})),
    ("heartbeat that is asked for", on("POST", "/heartbeat", fields={"status": "pending"})),
    ("heartbeat that is asked for", on("POST", "/heartbeat", fields={"error": "refused"})),
    ("heartbeat that is asked for", on("POST", "/heartbeat", fields={"id": "another"})),
    ("history of heartbeats", keeps_the_rest_of_a_page),
    ("history of heartbeats", on("GET", "/heartbeats", fields={"items": []})),
    ("history of heartbeats", on("GET", "/heartbeats", fields={"next": None})),
    ("history of heartbeats", on("GET", "/heartbeats", fields={"uptime_24h": None})),
    ("history of heartbeats", on("GET", "/heartbeats", fields={"uptime_24h": 100})),
    ("history of heartbeats", on("GET", "/heartbeats", body={"items": []})),
    ("older heartbeats", begins_anew),
    ("older heartbeats", on("GET", "/heartbeats", fields={"next": None})),
    ("history beyond its limit", takes_any_limit),
    ("history in buckets", on("GET", "/heartbeats", fields={"items": []})),
    ("history in buckets", on("GET", "/heartbeats", fields={"items": [{"from": "2026-01-02T03:04:00Z", "beats": 3}]})),
    ("history in buckets", on("GET", "/heartbeats", fields={"items": [{"from": "2026-01-02T03:00:00Z", "beats": 2}]})),
    ("models of a provider", on("GET", "/models", body=None)),
    ("models of a provider", on("GET", "/models", fields={"models": None})),
    ("models of a provider", on("GET", "/models", fields={"models": []})),
    ("OpenAPI document", on("GET", "openapi.json", fields={"openapi": "3.0.1"})),
    ("OpenAPI document", on("GET", "openapi.json", fields={"paths": {}})),
    ("OpenAPI document", on("GET", "openapi.json", fields={"servers": [{"url": "/"}]})),
    *((path, on("POST", path, body={})) for path in list(ANSWERS)[:4]),
    *((path, on("POST", path, status=500)) for path in list(ANSWERS)[:4]),
    *((path, on("POST", path, headers={"x-request-id": None})) for path in list(ANSWERS)[:4]),
    *((path, on("POST", path, headers=ANOTHER)) for path in list(ANSWERS)[:4]),
    ("error of the gateway's own", refusing(None, own_error("provider", type="error"))),
    ("error of the gateway's own", refusing(None, own_error("gateway"))),
    ("error of the gateway's own", refusing(None, error(502, "gateway_error"))),
    ("refusal of the provider", refusing(None, told_refusal(**{"x-error-source": "gateway"}))),
    ("refusal of the provider", refusing(None, told_refusal(**ANOTHER))),
    ("refusal of the provider", refusing(None, told_refusal("throttled"))),
]


def has_failed(name: str, gateway: GatewayInMemory, *, rehearsal: bool = True) -> bool:
    return report(CHECKS[name], Against(gateway, None, rehearsal))


@pytest.mark.parametrize("provider", [None, MINE])
@pytest.mark.parametrize("rehearsal", [True, False])
@pytest.mark.parametrize("name", CHECKS)
def test_a_gateway_that_keeps_the_contract_passes(name: str, rehearsal: bool, provider: str | None) -> None:
    gateway = GatewayInMemory(provider=provider)

    assert not has_failed(name, gateway, rehearsal=rehearsal)
    assert list(gateway.known) == [MINE]


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[f"{name}-{place}" for place, (name, _) in enumerate(FAULTS)])
def test_one_that_breaks_it_fails(name: str, fault: Fault, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = GatewayInMemory(fault, provider=MINE)

    assert has_failed(name, gateway)
    told = capsys.readouterr().err
    assert all(f"The provider {provider} may still be" in told for provider in gateway.known if provider != MINE)


def test_no_check_is_without_a_fault() -> None:
    assert {name for name, _ in FAULTS} == set(CHECKS)


@pytest.mark.parametrize(("source", "fails"), [("provider", False), ("gateway", True), (None, True)])
def test_a_tokenhub_of_yours_may_refuse_and_the_gateway_may_not(source: str | None, fails: bool) -> None:
    labels = {"x-request-id": "1", "x-provider-id": MINE} | ({"x-error-source": source} if source else {})
    gateway = GatewayInMemory(lambda _asked, _answer: error(404, "provider_model_unknown", **labels))

    assert has_failed("/v1/embeddings", gateway, rehearsal=False) is fails


def loses_the_answer(asked: Asked, answer: Answer) -> Answered:
    told = answer(asked)
    if (asked.method, asked.path) == ("POST", PROVIDERS):
        raise ConnectionError("the connection was closed without an answer")
    return told


def test_what_was_made_is_removed_when_its_answer_is_lost() -> None:
    gateway = GatewayInMemory(loses_the_answer)

    assert has_failed("new provider", gateway)
    assert list(gateway.known) == [MINE]


def test_without_a_provider_that_requests_go_to_a_check_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert has_failed("heartbeat that is asked for", GatewayInMemory(provider="gone"))
    assert "| gone among 1 that are registered |" in capsys.readouterr().out
