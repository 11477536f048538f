import json

import pytest

from tools.local.apigateway.gateway_responses import KINDS, Refusal, render
from tools.local.deployed import GatewayResponse

TEXT = '{"said": $context.error.messageString, "plain": "$context.error.message", "id": "${context.requestId}"}'


def test_variables_of_the_template_are_filled_in() -> None:
    responses = {"UNAUTHORIZED": GatewayResponse(TEXT, headers={"x-a": "'b'"})}

    answer = render(responses, Refusal("UNAUTHORIZED"), "id-1")

    assert answer.status == 401
    assert json.loads(answer.body) == {"said": "Unauthorized", "plain": "Unauthorized", "id": "id-1"}
    assert dict(answer.headers) == {
        "Content-Type": "application/json",
        "x-amzn-ErrorType": "UnauthorizedException",
        "x-a": "b",
    }


def test_maps_header_to_request_id() -> None:
    responses = {"UNAUTHORIZED": GatewayResponse("", headers={"X-Request-Id": "context.requestId"})}

    assert dict(render(responses, Refusal("UNAUTHORIZED"), "id-1").headers)["X-Request-Id"] == "id-1"


def test_quoted_header_value_is_a_literal() -> None:
    responses = {"UNAUTHORIZED": GatewayResponse("", headers={"x-a": "'context.requestId'", "x-empty": "''"})}

    headers = dict(render(responses, Refusal("UNAUTHORIZED"), "id-1").headers)

    assert (headers["x-a"], headers["x-empty"]) == ("context.requestId", "")


@pytest.mark.parametrize("expression", ["*", "'", "$context.requestId", "method.request.header.Origin"])
def test_rejects_unknown_header_mappings(expression: str) -> None:
    responses = {"UNAUTHORIZED": GatewayResponse("", headers={"x-a": expression})}

    with pytest.raises(ValueError, match="does not support the header mapping"):
        render(responses, Refusal("UNAUTHORIZED"), "id-1")


def test_a_message_with_quotes_is_a_json_string() -> None:
    answer = render({"DEFAULT_4XX": GatewayResponse('{"m": $context.error.messageString}')}, refused('a "b"'), "id")

    assert json.loads(answer.body) == {"m": 'a "b"'}


def refused(message: str) -> Refusal:
    return Refusal("DEFAULT_4XX", message=message)


def test_a_failure_without_message_is_null() -> None:
    answer = render({}, Refusal("AUTHORIZER_FAILURE"), "id")

    assert (answer.status, answer.body) == (500, b'{"message":null}')


def test_an_unknown_variable_is_empty() -> None:
    assert render({"THROTTLED": GatewayResponse("<$context.nonsense>")}, Refusal("THROTTLED"), "id").body == b"<>"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_falls_back_on_its_family_and_keeps_its_status(kind: str) -> None:
    family = "DEFAULT_4XX" if KINDS[kind].status < 500 else "DEFAULT_5XX"

    answer = render({family: GatewayResponse("mine")}, Refusal(kind), "id")

    assert (answer.status, answer.body) == (KINDS[kind].status, b"mine")


@pytest.mark.parametrize(
    ("responses", "status"),
    [
        ({}, 502),
        ({"DEFAULT_5XX": GatewayResponse("x")}, 502),
        ({"DEFAULT_5XX": GatewayResponse("x", status=503)}, 503),
    ],
)
def test_the_templates_status_comes_before_the_callers(responses: dict[str, GatewayResponse], status: int) -> None:
    assert render(responses, Refusal("DEFAULT_5XX", status=502), "id").status == status


def test_the_status_of_a_family_is_that_of_all_its_kinds() -> None:
    assert render({"DEFAULT_4XX": GatewayResponse("x", status=418)}, Refusal("THROTTLED"), "id").status == 418
