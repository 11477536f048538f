"""Authorizes requests by their token. API Gateway caches each policy for 5 minutes, so it depends on the token only."""

import gc

# Garbage collections take a tenth of the init's CPU time and free almost nothing (docs/benchmarks.md).
gc.disable()

import os
from typing import Any

from gateway.core.aws_api import SECRETS_MANAGER, AwsApi, Timeouts
from gateway.core.aws_settings import AuthorizerSettings
from gateway.core.tokens import Role, SecretsApi, Tokens

settings = AuthorizerSettings.from_environ(os.environ)
# Much shorter than the function's timeout, after which Lambda discards the environment with its cached tokens.
secrets = AwsApi(SECRETS_MANAGER, settings, os.environ, Timeouts(connect=1, read=2, attempts=2))
tokens = Tokens(
    SecretsApi(secrets),
    admin_secret=settings.admin_token_secret,
    client_secret=settings.client_token_secret,
)

# The objects of the init live as long as the function, so later collections skip them.
gc.freeze()
gc.enable()

DENY_ALL = {
    "principalId": "nobody",
    "policyDocument": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": ["*"]}],
    },
}
ALLOWED_PATHS: dict[Role, list[str]] = {
    "admin": ["/*"],
    "client": ["/GET/v1/*", "/POST/v1/*", "/GET/anthropic/v1/*", "/POST/anthropic/v1/*", "/GET/status/*"],
}
# All methods of API Gateway. In a resource `*` matches `/` too, so `*/api/*` would match the model name `x/api/y`.
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
DENIED_PATHS: dict[Role, list[str]] = {"admin": [], "client": [f"/{method}/api/*" for method in METHODS]}
API_KEY_HEADER = "x-api-key"


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Returns an IAM policy for a valid token. Raises `Unauthorized`: API Gateway answers this exact text with 401.

    An event of the type TOKEN has the Authorization header, one of the type REQUEST all headers.
    """
    token = _api_key(event) if event.get("type") == "REQUEST" else _bearer_token(event["authorizationToken"])
    role = tokens.role_of(token) if token else None
    if role is None:
        if settings.sam_local:
            # `sam local` answers 502 to an exception and 403 to this policy. API Gateway answers 401 to an exception.
            return DENY_ALL
        raise Exception("Unauthorized")
    return _policy(role, _stage(event["methodArn"]))


def _bearer_token(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _api_key(event: dict[str, Any]) -> str | None:
    """Returns the only x-api-key. API Gateway caches the policy by the header, so one of several must not decide."""
    headers: dict[str, list[str]] = event.get("multiValueHeaders") or {}
    values = [value for name, values in headers.items() if name.lower() == API_KEY_HEADER for value in values]
    return values[0].strip() if len(values) == 1 else None


def _stage(method_arn: str) -> str:
    """Cuts `arn:…:api/stage` from `arn:…:api/stage/METHOD/path`, because the cached policy is used for all paths."""
    return "/".join(method_arn.split("/")[:2])


def _policy(role: Role, stage: str) -> dict[str, Any]:
    statements = [_statement("Allow", [stage + path for path in ALLOWED_PATHS[role]])]
    # A Deny overrides an Allow, so that a path added to ALLOWED_PATHS by mistake opens nothing under /api.
    if DENIED_PATHS[role]:
        statements.append(_statement("Deny", [stage + path for path in DENIED_PATHS[role]]))
    return {"principalId": role, "policyDocument": {"Version": "2012-10-17", "Statement": statements}}


def _statement(effect: str, resources: list[str]) -> dict[str, Any]:
    return {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resources}
