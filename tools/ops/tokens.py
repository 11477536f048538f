"""`python -m tools.ops.tokens [client|admin] [ENV]`: prints a token of the local system or of a deployed stack."""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.local import aws
from tools.local.settings import REPOSITORY, STACK, Settings, UserError
from tools.ops.environments import Environment

SECRET_OUTPUTS = {"client": "ClientTokenSecret", "admin": "AdminTokenSecret"}


@dataclass(frozen=True)
class StackClients:
    """The boto3 clients of CloudFormation and Secrets Manager for one stack."""

    cloudformation: Any
    secrets: Any
    stack: str


def local_stack(url: str) -> StackClients:
    """Returns the clients for the stack on the local AWS at `url`."""
    return StackClients(aws.client("cloudformation", url), aws.client("secretsmanager", url), STACK)


def deployed_stack(samconfig: Path, environment_name: str) -> StackClients:
    """Returns the clients for the stack on AWS that samconfig.toml names for the environment.

    Raises UserError when there is no stack name, no region, or no such profile.
    """
    environment = Environment.read(samconfig, environment_name)
    stack = environment.require_stack()
    try:
        session = environment.session()
    except BotoCoreError as error:
        raise UserError(f"The tokens of the stack {stack} cannot be read: {error}") from None
    return StackClients(session.client("cloudformation"), session.client("secretsmanager"), stack)


def local_token(url: str, role: str) -> str:
    """Returns a token of the stack on the local AWS at `url`. Raises UserError if it or the stack does not run."""
    return read_token(local_stack(url), role)


def secret_arn(clients: StackClients, role: str) -> str:
    """Returns the ARN of the secret with the role's token. Raises UserError if the stack cannot be described."""
    return stack_output(clients, SECRET_OUTPUTS[role])


def stack_output(clients: StackClients, key: str) -> str:
    """Returns an output of the stack. Raises UserError if the stack cannot be described."""
    try:
        outputs = clients.cloudformation.describe_stacks(StackName=clients.stack)["Stacks"][0]["Outputs"]
    except (BotoCoreError, ClientError) as error:
        raise _stack_error(clients, error) from None
    return str(next(output["OutputValue"] for output in outputs if output["OutputKey"] == key))


def read_token(clients: StackClients, role: str) -> str:
    """Returns the role's token. Raises UserError."""
    secret = secret_arn(clients, role)
    try:
        return str(clients.secrets.get_secret_value(SecretId=secret)["SecretString"])
    except (BotoCoreError, ClientError) as error:
        raise _stack_error(clients, error) from None


def _stack_error(clients: StackClients, error: Exception) -> UserError:
    if clients.stack == STACK:
        url = clients.cloudformation.meta.endpoint_url
        return UserError(
            f"The local AWS is not running at {url}. Start it with `make dev`, or set AWS_PORT to its port."
        )
    return UserError(f"The tokens of the stack {clients.stack} cannot be read: {error}")


def main() -> None:
    """Prints only the token on standard output, so that `$(make -s token)` works."""
    parser = argparse.ArgumentParser(prog="python -m tools.ops.tokens", description=__doc__)
    parser.add_argument("role", nargs="?", choices=tuple(SECRET_OUTPUTS), default="client")
    parser.add_argument("environment", nargs="?", default="local", metavar="ENV")
    options = parser.parse_args()
    try:
        if options.environment == "local":
            print(local_token(Settings.from_environ(os.environ).aws_url, options.role))
        else:
            print(read_token(deployed_stack(REPOSITORY / "samconfig.toml", options.environment), options.role))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
