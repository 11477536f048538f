"""Bad input gets the one error shape with a message that says what to do, and changes nothing."""

import json
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Register
from tests.rehearsal import RunningTokenHub

GOOD: dict[str, Any] = {"id": "a", "endpoint": "http://localhost:8090/v1"}

BAD_PROVIDERS = {
    "not JSON": (b"{", "is not JSON"),
    "no object": (b"[1]", "is not a JSON object"),
    "a list that holds a provider": (json.dumps([GOOD]).encode(), "is not a JSON object"),
    "a missing field": (b'{"id": "a"}', "endpoint is missing"),
    "an unknown field": (json.dumps(GOOD | {"modle": "x"}).encode(), "modle is not a field"),
    "an endpoint that is no URL": (json.dumps(GOOD | {"endpoint": "tokenhub"}).encode(), "needs a scheme"),
    "an id with a slash": (json.dumps(GOOD | {"id": "a/b"}).encode(), "not a valid id"),
    "an id of 300 characters": (json.dumps(GOOD | {"id": "a" * 300}).encode(), "not a valid id"),
    "bytes that are no UTF-8": (b'{"id": "\xff"}', "is not UTF-8"),
}


def error(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert (set(body), body["type"]) == ({"type", "error"}, "error")
    assert set(body["error"]) == {"message", "type", "code", "param"}
    return dict(body["error"])


@pytest.mark.parametrize(("body", "says"), BAD_PROVIDERS.values(), ids=BAD_PROVIDERS.keys())
def test_rejects_a_bad_registration(http: httpx.Client, body: bytes, says: str) -> None:
    answer = http.post("/api/v1/providers", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert says in error(answer)["message"]
    assert http.get("/api/v1/providers").json() == []


@pytest.mark.parametrize("path", ["/api/v1/providers", "/v1/chat/completions"])
def test_rejects_a_body_of_11_mb_and_names_the_limit(http: httpx.Client, path: str) -> None:
    answer = http.post(path, content=b" " * 11_000_000)

    assert (answer.status_code, error(answer)["code"]) == (413, "request_too_large")
    assert "10 MB" in error(answer)["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/v2/x"), ("GET", "/a%0Ab"), ("POST", "/v1/images"), ("PATCH", "/v1/models")],
)
def test_lists_the_paths_for_an_unknown_path_or_method(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path)

    assert (answer.status_code, error(answer)["code"]) == (404, "not_found")
    assert "/v1/chat/completions" in error(answer)["message"]


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/api/v1/providers", 401), ("/v1/models", 401)])
def test_api_gateway_errors_carry_their_request_id(http: httpx.Client, path: str, status: int) -> None:
    answer = http.get(path, headers={"Authorization": "Bearer wrong"})

    request_id = answer.headers["x-request-id"]
    assert answer.status_code == status
    assert request_id == answer.headers["x-amzn-requestid"]
    assert f"request id {request_id}" in error(answer)["message"]


def test_explains_how_to_register_the_first_provider(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", json={"messages": []})

    assert (answer.status_code, error(answer)["code"]) == (503, "no_provider")
    assert "POST /api/v1/providers" in error(answer)["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b'"text"'])
def test_rejects_a_completion_that_is_not_a_json_object(
    http: httpx.Client, register: Register, tokenhub: RunningTokenHub, body: bytes
) -> None:
    register(heartbeat={"enabled": False})

    answer = http.post("/v1/chat/completions", content=body)

    assert (answer.status_code, error(answer)["code"]) == (400, "invalid_request")
    assert tokenhub.requests == []


def test_returns_404_for_an_unknown_provider_on_both_apis(http: httpx.Client, register: Register) -> None:
    register()

    managed = http.get("/api/v1/providers/nobody")
    asked = http.post("/v1/chat/completions", json={"messages": []}, headers={"X-Provider-Id": "#registry"})

    assert [error(managed)["code"], error(asked)["code"]] == ["provider_not_found"] * 2
    assert [managed.status_code, asked.status_code] == [404, 404]
