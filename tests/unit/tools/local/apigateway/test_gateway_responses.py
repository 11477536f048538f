import json

import pytest

from tools.local.apigateway.gateway_responses import DEFAULT_RESPONSES, GatewayError, render
from tools.local.deployment import GatewayResponse

TEXT = '{"message": $context.error.messageString, "plain": "$context.error.message", "id": "${context.requestId}"}'


def test_fills_in_the_templates_variables() -> None:
    responses = {"UNAUTHORIZED": GatewayResponse(TEXT, headers={"x-a": "'b'"})}

    response = render(responses, GatewayError("UNAUTHORIZED"), "id-1")

    assert response.status == 401
    assert json.loads(response.body) == {"message": "Unauthorized", "plain": "Unauthorized", "id": "id-1"}
    assert dict(response.headers) == {
        "Content-Type": "application/json",
        "x-amzn-ErrorType": "UnauthorizedException",
        "x-a": "b",
    }


def test_maps_header_to_request_id() -> None:
    responses = {"UNAUTHORIZED": GatewayResponse("", headers={"X-Request-Id": "context.requestId"})}

    assert dict(render(responses, GatewayError("UNAUTHORIZED"), "id-1").headers)["X-Request-Id"] == "id-1"


def test_quoted_header_value_is_a_literal() -> None:
    responses = {"UNAUTHORIZED": GatewayResponse("", headers={"x-a": "'context.requestId'", "x-empty": "''"})}

    headers = dict(render(responses, GatewayError("UNAUTHORIZED"), "id-1").headers)

    assert (headers["x-a"], headers["x-empty"]) == ("context.requestId", "")


@pytest.mark.parametrize("expression", ["*", "'", "$context.requestId", "method.request.header.Origin"])
def test_rejects_unknown_header_mappings(expression: str) -> None:
    responses = {"UNAUTHORIZED": GatewayResponse("", headers={"x-a": expression})}

    with pytest.raises(ValueError, match="does not support the header mapping"):
        render(responses, GatewayError("UNAUTHORIZED"), "id-1")


def test_escapes_quotes_in_a_message() -> None:
    response = render(
        {"DEFAULT_4XX": GatewayResponse('{"m": $context.error.messageString}')}, bad_request('a "b"'), "id"
    )

    assert json.loads(response.body) == {"m": 'a "b"'}


def bad_request(message: str) -> GatewayError:
    return GatewayError("DEFAULT_4XX", message=message)


def test_missing_message_is_null() -> None:
    response = render({}, GatewayError("AUTHORIZER_FAILURE"), "id")

    assert (response.status, response.body) == (500, b'{"message":null}')


def test_unknown_variable_is_empty() -> None:
    assert render({"THROTTLED": GatewayResponse("<$context.unknown>")}, GatewayError("THROTTLED"), "id").body == b"<>"


@pytest.mark.parametrize("response_type", sorted(DEFAULT_RESPONSES))
def test_every_response_type_falls_back_to_its_family_and_keeps_its_status(response_type: str) -> None:
    family = "DEFAULT_4XX" if DEFAULT_RESPONSES[response_type].status < 500 else "DEFAULT_5XX"

    response = render({family: GatewayResponse("mine")}, GatewayError(response_type), "id")

    assert (response.status, response.body) == (DEFAULT_RESPONSES[response_type].status, b"mine")


@pytest.mark.parametrize(
    ("responses", "status"),
    [
        ({}, 502),
        ({"DEFAULT_5XX": GatewayResponse("x")}, 502),
        ({"DEFAULT_5XX": GatewayResponse("x", status=503)}, 503),
    ],
)
def test_template_status_overrides_the_callers(responses: dict[str, GatewayResponse], status: int) -> None:
    assert render(responses, GatewayError("DEFAULT_5XX", status=502), "id").status == status


def test_family_status_applies_to_all_its_response_types() -> None:
    assert render({"DEFAULT_4XX": GatewayResponse("x", status=418)}, GatewayError("THROTTLED"), "id").status == 418
