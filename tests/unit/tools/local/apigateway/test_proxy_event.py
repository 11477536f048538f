from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.tools.local.running_server import make_deployment
from tools.local.apigateway.proxy_event import ApiRequest, encode, method_arn, proxy_event
from tools.local.apigateway.routes import match

DEPLOYMENT = make_deployment(None)


def request(**changes: Any) -> ApiRequest:
    fields: dict[str, Any] = {
        "id": "id-1",
        "method": "GET",
        "path": "/api/v1/providers/a%20b",
        "query": "limit=1&limit=2&q=%C3%A4+b&empty=",
        "headers": (
            ("Host", "localhost:8080"),
            ("accept", "a"),
            ("Accept", "b"),
            ("User-Agent", "me"),
            ("Connection", "keep-alive"),
            ("Content-Length", "4"),
        ),
        "body": b"text",
        "source_ip": "127.0.0.1",
        "port": 8080,
        "received": datetime(2026, 11, 22, 13, 0, 1, 500_000, tzinfo=UTC),
    }
    return ApiRequest(**(fields | changes))


def event(incoming: ApiRequest, context: dict[str, str] | None = None) -> dict[str, Any]:
    matched = match(DEPLOYMENT.routes, incoming.method, incoming.path)
    assert matched is not None
    return proxy_event(DEPLOYMENT, matched, incoming, context or {})


def test_builds_the_event_that_api_gateway_builds() -> None:
    assert event(request(), {"principalId": "admin"}) == {
        "resource": "/api/v1/providers/{id}",
        "path": "/api/v1/providers/a%20b",
        "httpMethod": "GET",
        "headers": {
            "Host": "localhost:8080",
            "accept": "b",
            "User-Agent": "me",
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Port": "8080",
            "X-Forwarded-Proto": "http",
        },
        "multiValueHeaders": {
            "Host": ["localhost:8080"],
            "accept": ["a", "b"],
            "User-Agent": ["me"],
            "X-Forwarded-For": ["127.0.0.1"],
            "X-Forwarded-Port": ["8080"],
            "X-Forwarded-Proto": ["http"],
        },
        "queryStringParameters": {"limit": "2", "q": "ä b", "empty": ""},
        "multiValueQueryStringParameters": {"limit": ["1", "2"], "q": ["ä b"], "empty": [""]},
        "pathParameters": {"id": "a b"},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123",
            "stage": "prod",
            "resourcePath": "/api/v1/providers/{id}",
            "httpMethod": "GET",
            "requestId": "id-1",
            "extendedRequestId": "id-1",
            "path": "/prod/api/v1/providers/a%20b",
            "protocol": "HTTP/1.1",
            "requestTime": "22/Nov/2026:13:00:01 +0000",
            "requestTimeEpoch": 1795352401500,
            "identity": {"sourceIp": "127.0.0.1", "userAgent": "me"},
            "authorizer": {"principalId": "admin"},
        },
        "body": "text",
        "isBase64Encoded": False,
    }


def test_missing_parts_of_a_request_are_null() -> None:
    result = event(request(path="/health", query="", headers=(), body=b""))

    absent = ("queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables", "body")
    assert [result[name] for name in absent] == [None] * 5
    assert "authorizer" not in result["requestContext"]


@pytest.mark.parametrize(
    ("body", "text", "is_base64"), [("ä".encode(), "ä", False), (b"\xff\x00", "/wA=", True), (b"", None, False)]
)
def test_encodes_only_binary_bodies_as_base64(body: bytes, text: str | None, is_base64: bool) -> None:
    result = event(request(body=body))

    assert (result["body"], result["isBase64Encoded"]) == (text, is_base64)


def test_appends_the_client_to_an_existing_x_forwarded_for() -> None:
    result = event(request(headers=(("x-forwarded-for", "10.0.0.1"),)))

    assert result["multiValueHeaders"]["X-Forwarded-For"] == ["10.0.0.1, 127.0.0.1"]


def test_method_arn_has_api_stage_method_and_raw_path() -> None:
    assert (
        method_arn(DEPLOYMENT, "GET", "/v1/a%20b")
        == "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/v1/a%20b"
    )


def test_encodes_the_event_as_compact_utf_8() -> None:
    assert encode({"a": "ä", "b": [1]}) == '{"a":"ä","b":[1]}'.encode()
