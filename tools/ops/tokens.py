"""`python -m tools.ops.tokens [client|admin] [ENV]`: prints a token of the local system, or of a deployed stack."""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.local import aws
from tools.local.settings import REPOSITORY, STACK, LocalError, Settings
from tools.ops.environments import Environment

OUTPUTS = {"client": "ClientTokenSecret", "admin": "AdminTokenSecret"}


@dataclass(frozen=True)
class Clients:
    """CloudFormation and Secrets Manager, where the stack of that name is."""

    formation: Any
    secrets: Any
    stack: str


def running(url: str) -> Clients:
    """Of the local AWS at `url`."""
    return Clients(aws.client("cloudformation", url), aws.client("secretsmanager", url), STACK)


def deployed(samconfig: Path, environment: str) -> Clients:
    """Of AWS, with the stack that `environment` names in samconfig.toml.

    Raises LocalError where the file names no stack, or nothing names a region, or there is no such profile.
    """
    named = Environment.read(samconfig, environment)
    stack = named.named_stack()
    try:
        session = named.session()
    except BotoCoreError as error:
        raise LocalError(f"The tokens of the stack {stack} cannot be reached: {error}") from None
    return Clients(session.client("cloudformation"), session.client("secretsmanager"), stack)


def local_token(url: str, role: str) -> str:
    """From the local AWS at `url`. Raises LocalError if there is none, or no stack on it."""
    return read(running(url), role)


def secret_of(clients: Clients, role: str) -> str:
    """The secret that holds the role's token. Raises LocalError where the stack cannot be asked."""
    try:
        outputs = clients.formation.describe_stacks(StackName=clients.stack)["Stacks"][0]["Outputs"]
    except (BotoCoreError, ClientError) as error:
        raise _trouble(clients, error) from None
    return str(next(output["OutputValue"] for output in outputs if output["OutputKey"] == OUTPUTS[role]))


def read(clients: Clients, role: str) -> str:
    """The token that opens what `role` may call. Raises LocalError."""
    secret = secret_of(clients, role)
    try:
        return str(clients.secrets.get_secret_value(SecretId=secret)["SecretString"])
    except (BotoCoreError, ClientError) as error:
        raise _trouble(clients, error) from None


def _trouble(clients: Clients, error: Exception) -> LocalError:
    if clients.stack == STACK:
        url = clients.formation.meta.endpoint_url
        return LocalError(f"The local system does not run on {url}: start it with `make dev` (AWS_PORT).")
    return LocalError(f"The tokens of the stack {clients.stack} cannot be reached: {error}")


def main() -> None:
    """The token alone on standard output, so that `$(make -s token)` works."""
    parser = argparse.ArgumentParser(prog="python -m tools.ops.tokens", description=__doc__)
    parser.add_argument("role", nargs="?", choices=tuple(OUTPUTS), default="client")
    parser.add_argument("environment", nargs="?", default="local", metavar="ENV")
    chosen = parser.parse_args()
    try:
        if chosen.environment == "local":
            print(local_token(Settings.from_environ(os.environ).aws_url, chosen.role))
        else:
            print(read(deployed(REPOSITORY / "samconfig.toml", chosen.environment), chosen.role))
    except LocalError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
