import json

import pytest

from tools.local.apigateway.gateway_responses import DEFAULT_RESPONSES, GatewayError, render
from tools.local.deployment import GatewayResponse

TEXT = '{"said": $context.error.messageString, "plain": "$context.error.message", "id": "${context.requestId}"}'


def test_fills_in_the_templates_variables() -> None:
    responses = {"UNAUTHORIZED": GatewayResponse(TEXT, headers={"x-a": "b"})}

    answer = render(responses, GatewayError("UNAUTHORIZED"), "id-1")

    assert answer.status == 401
    assert json.loads(answer.body) == {"said": "Unauthorized", "plain": "Unauthorized", "id": "id-1"}
    assert dict(answer.headers) == {
        "Content-Type": "application/json",
        "x-amzn-ErrorType": "UnauthorizedException",
        "x-a": "b",
    }


def test_escapes_quotes_in_a_message() -> None:
    answer = render({"DEFAULT_4XX": GatewayResponse('{"m": $context.error.messageString}')}, refused('a "b"'), "id")

    assert json.loads(answer.body) == {"m": 'a "b"'}


def refused(message: str) -> GatewayError:
    return GatewayError("DEFAULT_4XX", message=message)


def test_missing_message_is_null() -> None:
    answer = render({}, GatewayError("AUTHORIZER_FAILURE"), "id")

    assert (answer.status, answer.body) == (500, b'{"message":null}')


def test_unknown_variable_is_empty() -> None:
    assert render({"THROTTLED": GatewayResponse("<$context.nonsense>")}, GatewayError("THROTTLED"), "id").body == b"<>"


@pytest.mark.parametrize("kind", sorted(DEFAULT_RESPONSES))
def test_every_response_type_falls_back_to_its_family_and_keeps_its_status(kind: str) -> None:
    family = "DEFAULT_4XX" if DEFAULT_RESPONSES[kind].status < 500 else "DEFAULT_5XX"

    answer = render({family: GatewayResponse("mine")}, GatewayError(kind), "id")

    assert (answer.status, answer.body) == (DEFAULT_RESPONSES[kind].status, b"mine")


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
