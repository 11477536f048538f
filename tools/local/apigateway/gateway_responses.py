"""API Gateway's own answers: what it says when no function does, in the words of the template's GatewayResponses."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tools.local.deployed import GatewayResponse


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Kind:
    """What API Gateway sends for one kind of failure when the template says nothing."""

    status: int
    message: str | None
    error_type: str


KINDS: Mapping[str, Kind] = {
    "ACCESS_DENIED": Kind(403, "User is not authorized to access this resource", "AccessDeniedException"),
    "API_CONFIGURATION_ERROR": Kind(500, "Internal server error", "InternalServerErrorException"),
    "AUTHORIZER_CONFIGURATION_ERROR": Kind(500, None, "AuthorizerConfigurationException"),
    "AUTHORIZER_FAILURE": Kind(500, None, "AuthorizerConfigurationException"),
    "BAD_REQUEST_BODY": Kind(400, "Invalid request body", "BadRequestException"),
    "BAD_REQUEST_PARAMETERS": Kind(400, "Missing required request parameters", "BadRequestException"),
    "DEFAULT_4XX": Kind(400, "Bad Request", "BadRequestException"),
    "DEFAULT_5XX": Kind(500, "Internal server error", "InternalServerErrorException"),
    "EXPIRED_TOKEN": Kind(403, "The security token included in the request is expired", "ExpiredTokenException"),
    "INTEGRATION_FAILURE": Kind(504, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": Kind(504, "Endpoint request timed out", "InternalServerErrorException"),
    "INVALID_API_KEY": Kind(403, "Forbidden", "ForbiddenException"),
    "INVALID_SIGNATURE": Kind(403, "Authorization header requires 'Credential'", "IncompleteSignatureException"),
    "MISSING_AUTHENTICATION_TOKEN": Kind(403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
    "QUOTA_EXCEEDED": Kind(429, "Limit Exceeded", "LimitExceededException"),
    "REQUEST_TOO_LARGE": Kind(413, "Request Too Long", "RequestEntityTooLargeException"),
    "RESOURCE_NOT_FOUND": Kind(404, "Not Found", "NotFoundException"),
    "THROTTLED": Kind(429, "Too Many Requests", "TooManyRequestsException"),
    "UNAUTHORIZED": Kind(401, "Unauthorized", "UnauthorizedException"),
    "UNSUPPORTED_MEDIA_TYPE": Kind(415, "Unsupported Media Type", "BadRequestException"),
    "WAF_FILTERED": Kind(403, "Forbidden", "ForbiddenException"),
}

_BUILT_IN = '{"message":$context.error.messageString}'
_VARIABLE = re.compile(r"\$(?:\{(context(?:\.\w+)+)\}|(context(?:\.\w+)+))")


class Refusal(Exception):
    """API Gateway answers instead of the function. `kind` is one of KINDS; `status` and `message` if not its own."""

    def __init__(self, kind: str, *, status: int | None = None, message: str | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status
        self.message = message


def render(responses: Mapping[str, GatewayResponse], refusal: Refusal, request_id: str) -> Answer:
    """The template's answer to a refusal; where it has none for the kind, that of DEFAULT_4XX or DEFAULT_5XX."""
    kind = KINDS[refusal.kind]
    family = responses.get("DEFAULT_4XX" if kind.status < 500 else "DEFAULT_5XX")
    response = responses.get(refusal.kind, family) or GatewayResponse(body="")
    status = response.status or (family.status if family else None) or refusal.status or kind.status
    message = refusal.message or kind.message
    variables = {
        "context.error.message": message or "",
        "context.error.messageString": json.dumps(message),
        "context.error.responseType": refusal.kind,
        "context.requestId": request_id,
    }
    body = _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), response.body or _BUILT_IN)
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": kind.error_type}
    headers |= {name: _mapped(expression, variables) for name, expression in response.headers.items()}
    return Answer(status, tuple(headers.items()), body.encode())


def _mapped(expression: str, variables: Mapping[str, str]) -> str:
    """The value of a header's mapping expression: `'literal'` or `context.requestId`. Raises ValueError for any other.

    docs.aws.amazon.com/apigateway, "Parameter mapping for REST APIs".
    """
    if len(expression) > 1 and expression[0] == expression[-1] == "'":
        return expression[1:-1]
    if expression not in variables:
        raise ValueError(f"The local API Gateway does not support the header mapping {expression}.")
    return variables[expression]
