from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.tools.local.serving import make_deployment
from tools.local.apigateway.events import ApiRequest, encode, method_arn, proxy_event
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


def event(asked: ApiRequest, context: dict[str, str] | None = None) -> dict[str, Any]:
    found = match(DEPLOYMENT.routes, asked.method, asked.path)
    assert found is not None
    return proxy_event(DEPLOYMENT, found, asked, context or {})


def test_the_event_is_the_one_that_api_gateway_makes() -> None:
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


def test_what_a_request_does_not_have_is_null() -> None:
    made = event(request(path="/health", query="", headers=(), body=b""))

    absent = ("queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables", "body")
    assert [made[name] for name in absent] == [None] * 5
    assert "authorizer" not in made["requestContext"]


@pytest.mark.parametrize(
    ("body", "text", "is_base64"), [("ä".encode(), "ä", False), (b"\xff\x00", "/wA=", True), (b"", None, False)]
)
def test_only_a_body_that_is_not_text_is_base64(body: bytes, text: str | None, is_base64: bool) -> None:
    made = event(request(body=body))

    assert (made["body"], made["isBase64Encoded"]) == (text, is_base64)


def test_a_proxy_before_us_keeps_its_place_in_x_forwarded_for() -> None:
    made = event(request(headers=(("x-forwarded-for", "10.0.0.1"),)))

    assert made["multiValueHeaders"]["X-Forwarded-For"] == ["10.0.0.1, 127.0.0.1"]


def test_the_method_arn_names_api_stage_method_and_raw_path() -> None:
    assert (
        method_arn(DEPLOYMENT, "GET", "/v1/a%20b")
        == "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/v1/a%20b"
    )


def test_the_encoded_event_is_utf_8_without_spaces() -> None:
    assert encode({"a": "ä", "b": [1]}) == '{"a":"ä","b":[1]}'.encode()
