"""A revoked token is dead after the minute that the authorizer remembers it (API Gateway's cache apart)."""

import json
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.deployed_system import DeployedSystem
from tests.local_system import LocalSystem
from tests.rehearsal import wait_until
from tools.local import aws
from tools.local.settings import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def authorizer(system: LocalSystem) -> Any:
    """Asks the deployed function itself: API Gateway would keep its answer."""
    lambdas = aws.client("lambda", system.aws_url)
    [name] = [f["FunctionName"] for f in lambdas.list_functions()["Functions"] if "Authorizer" in f["FunctionName"]]
    arn = "arn:aws:execute-api:us-east-1:000000000000:api/prod/GET/v1/models"

    def opens(token: str) -> bool:
        event = {"type": "TOKEN", "authorizationToken": f"Bearer {token}", "methodArn": arn}
        response = lambdas.invoke(FunctionName=f"{name}:live", Payload=json.dumps(event))
        return "FunctionError" not in response

    return opens


def test_authorizer_rejects_a_revoked_token_within_a_minute() -> None:
    with DeployedSystem(environ={"TOKENHUB": "off"}) as system:
        old, opens = system.token("client"), authorizer(system)
        assert opens(old)
        environment = os.environ | {"AWS_PORT": str(system.aws_port)}
        command = [sys.executable, "-m", "tools.ops.rotate", "client", "--revoke"]
        new = subprocess.check_output(command, cwd=REPOSITORY, env=environment, text=True).strip()

        assert opens(new)
        assert wait_until(lambda: not opens(old), 65, every=1)
        responses = [
            httpx.get(f"{system.url}/v1/models", headers=headers, timeout=30, trust_env=False)
            for headers in ({"Authorization": f"Bearer {token}"} for token in (new, old))
        ]
        # 503: no provider is registered.
        assert [response.status_code for response in responses] == [503, 401]
