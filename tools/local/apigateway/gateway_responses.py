"""The responses that API Gateway itself sends on errors, rendered from the template's GatewayResponses."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tools.local.deployment import GatewayResponse


@dataclass(frozen=True)
class HttpResponse:
    """A complete HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class DefaultResponse:
    """The response that API Gateway sends for one response type unless the template declares another."""

    status: int
    message: str | None
    error_type: str


DEFAULT_RESPONSES: Mapping[str, DefaultResponse] = {
    response_type: DefaultResponse(status, message, error_type)
    for response_type, status, message, error_type in (
        ("ACCESS_DENIED", 403, "User is not authorized to access this resource", "AccessDeniedException"),
        ("API_CONFIGURATION_ERROR", 500, "Internal server error", "InternalServerErrorException"),
        ("AUTHORIZER_CONFIGURATION_ERROR", 500, None, "AuthorizerConfigurationException"),
        ("AUTHORIZER_FAILURE", 500, None, "AuthorizerConfigurationException"),
        ("BAD_REQUEST_BODY", 400, "Invalid request body", "BadRequestException"),
        ("BAD_REQUEST_PARAMETERS", 400, "Missing required request parameters", "BadRequestException"),
        ("DEFAULT_4XX", 400, "Bad Request", "BadRequestException"),
        ("DEFAULT_5XX", 500, "Internal server error", "InternalServerErrorException"),
        ("EXPIRED_TOKEN", 403, "The security token included in the request is expired", "ExpiredTokenException"),
        ("INTEGRATION_FAILURE", 504, "Internal server error", "InternalServerErrorException"),
        ("INTEGRATION_TIMEOUT", 504, "Endpoint request timed out", "InternalServerErrorException"),
        ("INVALID_API_KEY", 403, "Forbidden", "ForbiddenException"),
        ("INVALID_SIGNATURE", 403, "Authorization header requires 'Credential'", "IncompleteSignatureException"),
        ("MISSING_AUTHENTICATION_TOKEN", 403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
        ("QUOTA_EXCEEDED", 429, "Limit Exceeded", "LimitExceededException"),
        ("REQUEST_TOO_LARGE", 413, "Request Too Long", "RequestEntityTooLargeException"),
        ("RESOURCE_NOT_FOUND", 404, "Not Found", "NotFoundException"),
        ("THROTTLED", 429, "Too Many Requests", "TooManyRequestsException"),
        ("UNAUTHORIZED", 401, "Unauthorized", "UnauthorizedException"),
        ("UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported Media Type", "BadRequestException"),
        ("WAF_FILTERED", 403, "Forbidden", "ForbiddenException"),
    )
}

_DEFAULT_BODY = '{"message":$context.error.messageString}'
_VARIABLE = re.compile(r"\$(?:\{(context(?:\.\w+)+)\}|(context(?:\.\w+)+))")


class GatewayError(Exception):
    """API Gateway responds instead of the function.

    `response_type` is a key of DEFAULT_RESPONSES. `status` and `message` override the default ones if set.
    """

    def __init__(self, response_type: str, *, status: int | None = None, message: str | None = None) -> None:
        super().__init__(response_type)
        self.response_type = response_type
        self.status = status
        self.message = message


def render(responses: Mapping[str, GatewayResponse], error: GatewayError, request_id: str) -> HttpResponse:
    """Renders the template's response to an error.

    The response of DEFAULT_4XX or DEFAULT_5XX applies if the template declares none for the type.
    """
    default = DEFAULT_RESPONSES[error.response_type]
    family = responses.get("DEFAULT_4XX" if default.status < 500 else "DEFAULT_5XX")
    response = responses.get(error.response_type, family) or GatewayResponse(body="")
    status = response.status or (family.status if family else None) or error.status or default.status
    message = error.message or default.message
    variables = {
        "context.error.message": message or "",
        "context.error.messageString": json.dumps(message),
        "context.error.responseType": error.response_type,
        "context.requestId": request_id,
    }
    body = _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), response.body or _DEFAULT_BODY)
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": default.error_type}
    headers |= {name: _mapped(expression, variables) for name, expression in response.headers.items()}
    return HttpResponse(status, tuple(headers.items()), body.encode())


def _mapped(expression: str, variables: Mapping[str, str]) -> str:
    """The value of a header's mapping expression: `'literal'` or `context.requestId`. Raises ValueError for any other.

    docs.aws.amazon.com/apigateway, "Parameter mapping for REST APIs".
    """
    if len(expression) > 1 and expression[0] == expression[-1] == "'":
        return expression[1:-1]
    if expression not in variables:
        raise ValueError(f"The local API Gateway does not support the header mapping {expression}.")
    return variables[expression]
