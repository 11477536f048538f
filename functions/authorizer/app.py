"""Tells API Gateway what a token may call. Its answer is kept for 5 minutes, so it depends on the token alone."""

import logging
import os
from typing import Any

import boto3
from botocore.config import Config

from gateway.core.sam_local import require_local_aws
from gateway.core.settings import AuthorizerSettings
from gateway.core.tokens import Role, Tokens

logging.getLogger("botocore").setLevel(logging.INFO)  # at DEBUG it writes every answer, the tokens in it included

settings = AuthorizerSettings.from_environ(os.environ)
require_local_aws(settings)
# A function that runs into its timeout loses the tokens that it remembers: give up on Secrets Manager long before.
impatient = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2})
tokens = Tokens(
    boto3.client("secretsmanager", config=impatient),
    admin_secret=settings.admin_token_secret,
    client_secret=settings.client_token_secret,
)

NOBODY = {
    "principalId": "nobody",
    "policyDocument": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": ["*"]}],
    },
}
ALLOWED: dict[Role, list[str]] = {"admin": ["/*"], "client": ["/GET/v1/*", "/POST/v1/*"]}


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """An IAM policy for a known token. API Gateway makes a 401 of the message `Unauthorized`, word for word."""
    scheme, _, token = event["authorizationToken"].partition(" ")
    role = tokens.role_of(token.strip()) if scheme.lower() == "bearer" else None
    if role is None:
        if settings.sam_local:
            return NOBODY  # 403; `sam local` would take the exception for a fault, and answer 502
        raise Exception("Unauthorized")
    return _policy(role, _stage(event["methodArn"]))


def _stage(method_arn: str) -> str:
    """`arn:…:api/stage` of `arn:…:api/stage/METHOD/path`: the policy is kept for every path, not for this one."""
    return "/".join(method_arn.split("/")[:2])


def _policy(role: Role, stage: str) -> dict[str, Any]:
    statements = [_statement("Allow", [stage + path for path in ALLOWED[role]])]
    if role == "client":  # `*` matches `/` too: /GET/v1/* must never come to mean a path under /api
        statements.append(_statement("Deny", [f"{stage}/*/api/*"]))
    return {"principalId": role, "policyDocument": {"Version": "2012-10-17", "Statement": statements}}


def _statement(effect: str, resources: list[str]) -> dict[str, Any]:
    return {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resources}
