"""API Gateway's proxy event as a request: its route, body, query and headers."""

import base64
import json
from typing import Any

import pytest

from gateway.proxy.request import ForwardRequest
from tests.template import ROOT


def event(name: str, **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return content | changes


def request_of(name: str = "completion", **changes: Any) -> ForwardRequest:
    return ForwardRequest.from_event(event(name, **changes))


def test_reads_route_ids_and_address() -> None:
    request = request_of()

    assert (request.method, request.route, request.path) == ("POST", "/chat/completions", "/chat/completions")
    assert (request.request_id, request.source_ip) == ("completion-1", "127.0.0.1")
    assert (request.client_request_id, request.provider_id) == (None, None)


def test_keeps_the_route_of_the_anthropic_path() -> None:
    request = request_of("anthropic_messages")

    assert (request.route, request.path) == ("/anthropic/v1/messages", "/messages")


def test_keeps_the_path_parameters_of_a_model() -> None:
    content = event("model")

    request = ForwardRequest.from_event(content)

    assert request.path == "/models/{model+}"
    assert request.path_parameters == content["pathParameters"]


@pytest.mark.parametrize("name", ["X-Provider-Id", "x-provider-id", "X-PROVIDER-ID"])
def test_finds_headers_in_any_case(name: str) -> None:
    request = request_of(headers={name: "second", "X-Request-ID": "mine-1"})

    assert (request.provider_id, request.client_request_id) == ("second", "mine-1")


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"body": '{"a": "é"}'}, '{"a": "é"}'.encode()),
        ({"body": base64.b64encode(b"\x1f\x8b").decode(), "isBase64Encoded": True}, b"\x1f\x8b"),
        ({"body": None}, b""),
        ({"body": None, "httpMethod": "GET"}, None),
    ],
    ids=["text", "base64", "empty POST", "GET"],
)
def test_decodes_the_body(changes: dict[str, Any], body: bytes | None) -> None:
    assert request_of(**changes).body == body


def test_keeps_repeated_query_parameters_and_encodes_them() -> None:
    assert request_of(multiValueQueryStringParameters={"a": ["1", "2&3"], "b": [""]}).query == "a=1&a=2%263&b="


@pytest.mark.parametrize("field", ["headers", "multiValueQueryStringParameters", "pathParameters"])
def test_treats_null_as_empty(field: str) -> None:
    request = ForwardRequest.from_event(event("completion") | {field: None})

    assert {"headers": request.headers, "pathParameters": request.path_parameters}.get(field, {}) == {}
    assert request.query == ""
