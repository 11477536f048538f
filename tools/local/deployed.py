"""What is deployed on the local AWS, as the front needs it: routes, functions, authorizers, API Gateway's answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Function:
    """A deployed Lambda function and where its built code lies on this machine."""

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
    """A TOKEN authorizer: API Gateway asks `function_arn` once per token and keeps the answer for `ttl_s`."""

    function_arn: str
    ttl_s: int


@dataclass(frozen=True)
class Route:
    """One method of the API. `function` is set where the answer is streamed: that is where the front runs it itself."""

    method: str
    path: str
    function: Function | None = None
    authorizer: Authorizer | None = None


@dataclass(frozen=True)
class GatewayResponse:
    """API Gateway's own answer to one kind of failure, from the template. `status` None: the default of the kind.

    `headers` holds mapping expressions: a quoted literal such as `'1'`, or a variable such as `context.requestId`.
    """

    body: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """One deployed stack."""

    api_id: str
    stage: str
    region: str
    account_id: str
    routes: tuple[Route, ...]
    gateway_responses: Mapping[str, GatewayResponse]
    outputs: Mapping[str, str]
