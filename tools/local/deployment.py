"""The deployed stack as the API server needs it: routes, functions, authorizers and gateway responses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Function:
    """A deployed Lambda function. `code` and `layers` are folders of the build on this machine."""

    logical_id: str
    name: str
    arn: str
    handler: str
    role_arn: str
    timeout_s: int
    memory_mb: int
    environment: Mapping[str, str]
    code: Path
    layers: tuple[Path, ...]
    log_group: str


@dataclass(frozen=True)
class Authorizer:
    """A Lambda authorizer. API Gateway calls `function_arn` once per token and caches the result for `ttl_s`.

    `type` is TOKEN, which gets the value of `header` only, or REQUEST, which gets the request without its body.
    """

    function_arn: str
    ttl_s: int
    header: str = "Authorization"
    type: str = "TOKEN"


@dataclass(frozen=True)
class Route:
    """One method of the API. `function` is set on streaming routes only, whose functions the API server runs itself."""

    method: str
    path: str
    function: Function | None = None
    authorizer: Authorizer | None = None


@dataclass(frozen=True)
class GatewayResponse:
    """A response that the template declares for one type of API Gateway error. `status` None means the default.

    `headers` holds mapping expressions: a quoted literal such as `'1'`, or a variable such as `context.requestId`.
    """

    body: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """One deployed stack. `gateway_responses` has API Gateway's response types as keys."""

    api_id: str
    stage: str
    region: str
    account_id: str
    routes: tuple[Route, ...]
    gateway_responses: Mapping[str, GatewayResponse]
    outputs: Mapping[str, str]
