"""Bad input: the response has the common error shape and a remedy, and nothing is registered."""

import json
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Register
from tests.rehearsal import RunningTokenHub

GOOD: dict[str, Any] = {"id": "a", "endpoint": "http://localhost:8090/v1"}

BAD_PROVIDERS = {
    "not JSON": (b"{", "is not JSON"),
    "not an object": (b"[1]", "is not a JSON object"),
    "a list with a provider": (json.dumps([GOOD]).encode(), "is not a JSON object"),
    "a missing field": (b'{"id": "a"}', "endpoint is missing"),
    "an unknown field": (json.dumps(GOOD | {"modle": "x"}).encode(), "modle is not a field"),
    "an endpoint that is not a URL": (json.dumps(GOOD | {"endpoint": "tokenhub"}).encode(), "needs a scheme"),
    "an id with a slash": (json.dumps(GOOD | {"id": "a/b"}).encode(), "not a valid id"),
    "an id of 300 characters": (json.dumps(GOOD | {"id": "a" * 300}).encode(), "not a valid id"),
    "bytes that are not UTF-8": (b'{"id": "\xff"}', "is not UTF-8"),
}


def error(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert (set(body), body["type"]) == ({"type", "error"}, "error")
    assert set(body["error"]) == {"message", "type", "code", "param"}
    return dict(body["error"])


@pytest.mark.parametrize(("body", "message"), BAD_PROVIDERS.values(), ids=BAD_PROVIDERS.keys())
def test_rejects_a_bad_registration(http: httpx.Client, body: bytes, message: str) -> None:
    response = http.post("/api/v1/providers", content=body, headers={"content-type": "application/json"})

    assert response.status_code == 400
    assert message in error(response)["message"]
    assert http.get("/api/v1/providers").json() == []


@pytest.mark.parametrize("path", ["/api/v1/providers", "/v1/chat/completions"])
def test_rejects_a_body_of_11_mb_and_names_the_limit(http: httpx.Client, path: str) -> None:
    response = http.post(path, content=b" " * 11_000_000)

    assert (response.status_code, error(response)["code"]) == (413, "request_too_large")
    assert "10 MB" in error(response)["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/v2/x"), ("GET", "/a%0Ab"), ("POST", "/v1/images"), ("PATCH", "/v1/models")],
)
def test_lists_the_paths_for_an_unknown_path_or_method(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, path)

    assert (response.status_code, error(response)["code"]) == (404, "not_found")
    assert "/v1/chat/completions" in error(response)["message"]


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/api/v1/providers", 401), ("/v1/models", 401)])
def test_api_gateway_errors_carry_their_request_id(http: httpx.Client, path: str, status: int) -> None:
    response = http.get(path, headers={"Authorization": "Bearer wrong"})

    request_id = response.headers["x-request-id"]
    assert response.status_code == status
    assert request_id == response.headers["x-amzn-requestid"]
    assert f"request id {request_id}" in error(response)["message"]


@pytest.mark.parametrize("id_", ["a%0Ab", "%0A", "a%0A", "a%0D%0Ab"])
def test_id_with_a_line_break_is_not_found(http: httpx.Client, id_: str) -> None:
    response = http.get(f"/api/v1/providers/{id_}")

    assert (response.status_code, error(response)["code"]) == (404, "provider_not_found")


def test_explains_how_to_register_the_first_provider(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json={"messages": []})

    assert (response.status_code, error(response)["code"]) == (503, "no_provider")
    assert "POST /api/v1/providers" in error(response)["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b'"text"'])
def test_rejects_a_completion_that_is_not_a_json_object(
    http: httpx.Client, register: Register, tokenhub: RunningTokenHub, body: bytes
) -> None:
    register(heartbeat={"enabled": False})

    response = http.post("/v1/chat/completions", content=body)

    assert (response.status_code, error(response)["code"]) == (400, "invalid_request")
    assert tokenhub.requests == []


def test_returns_404_for_an_unknown_provider_on_both_apis(http: httpx.Client, register: Register) -> None:
    register()

    managed = http.get("/api/v1/providers/nobody")
    forwarded = http.post("/v1/chat/completions", json={"messages": []}, headers={"X-Provider-Id": "#registry"})

    assert [error(managed)["code"], error(forwarded)["code"]] == ["provider_not_found"] * 2
    assert [managed.status_code, forwarded.status_code] == [404, 404]
