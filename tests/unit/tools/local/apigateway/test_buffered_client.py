import json

import pytest

from tools.local.apigateway.buffered_client import find_gateway_error


@pytest.mark.parametrize(
    ("status", "error_type", "body", "expected"),
    [
        # Sent by a function.
        (200, None, {"message": "fine"}, None),
        (404, None, {"error": {"code": "provider_not_found"}}, None),
        (502, None, {"error": {"code": "provider_unreachable"}}, None),
        (502, None, {"error": {"code": "x"}, "message": "both"}, None),
        (429, None, b"slow down", None),
        (400, None, [1], None),
        # Sent by API Gateway.
        (401, "UnauthorizedException", {"message": "Unauthorized"}, ("UNAUTHORIZED", None)),
        (403, "AccessDeniedException", {"Message": "no"}, ("ACCESS_DENIED", None)),
        (403, "MissingAuthenticationTokenException", {"message": "x"}, ("MISSING_AUTHENTICATION_TOKEN", None)),
        (429, "TooManyRequestsException", {"message": "x"}, ("THROTTLED", None)),
        (500, "AuthorizerConfigurationException", {"message": None}, ("AUTHORIZER_FAILURE", None)),
        (500, "InternalServerErrorException", {"message": "x"}, ("DEFAULT_5XX", 500)),
        (400, "BadRequestException", {"message": "Invalid request body"}, ("DEFAULT_4XX", 400)),
        (403, "ForbiddenException", {"message": "Forbidden"}, ("DEFAULT_4XX", 403)),
        (404, None, {"message": "Not Found"}, ("DEFAULT_4XX", 404)),
        # Sent by Lambda.
        (502, None, {"message": '{"errorMessage": "a secret"}'}, ("DEFAULT_5XX", 502)),
        (429, None, {"__type": "TooManyRequestsException", "message": "Rate Exceeded."}, ("DEFAULT_5XX", 502)),
    ],
)
def test_detects_errors_that_the_function_did_not_send(
    status: int, error_type: str | None, body: object, expected: tuple[str, int | None] | None
) -> None:
    error = find_gateway_error(status, error_type, body if isinstance(body, bytes) else json.dumps(body).encode())

    assert (error and (error.response_type, error.status)) == expected


def test_keeps_the_message_of_a_4xx_and_drops_that_of_a_5xx() -> None:
    bad = find_gateway_error(400, "BadRequestException", b'{"message": "Invalid request body"}')
    failed = find_gateway_error(502, None, b'{"message": "a secret"}')

    assert (bad and bad.message, failed and failed.message) == ("Invalid request body", None)
