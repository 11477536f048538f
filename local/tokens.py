"""`python -m local.tokens [client|admin] [ENV]`: prints a token of the local system, or of a deployed stack."""

import argparse
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local import aws
from local.settings import REPOSITORY, STACK, LocalError, Settings

OUTPUTS = {"client": "ClientTokenSecret", "admin": "AdminTokenSecret"}


def local_token(url: str, role: str) -> str:
    """From the local AWS at `url`. Raises LocalError if there is none, or no stack on it."""
    try:
        return read(aws.client("cloudformation", url), aws.client("secretsmanager", url), STACK, role)
    except (BotoCoreError, ClientError):
        raise LocalError(f"The local system does not run on {url}: start it with `make dev` (AWS_PORT).") from None


def deployed_token(samconfig: Path, environment: str, role: str) -> str:
    """From AWS, of the stack that `environment` names in samconfig.toml, with the shell's own credentials."""
    stack, region = _stack(samconfig, environment)
    session = boto3.Session(region_name=region)
    try:
        return read(session.client("cloudformation"), session.client("secretsmanager"), stack, role)
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"No token of the stack {stack}: {error}") from None


def read(formation: Any, secrets: Any, stack: str, role: str) -> str:
    """The token that opens what `role` may call."""
    outputs = formation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    secret = next(output["OutputValue"] for output in outputs if output["OutputKey"] == OUTPUTS[role])
    return str(secrets.get_secret_value(SecretId=secret)["SecretString"])


def _stack(samconfig: Path, environment: str) -> tuple[str, str | None]:
    """Name and region of the stack."""
    sections = tomllib.loads(samconfig.read_text()) if samconfig.exists() else {}
    section = sections.get(environment, {})
    merged = {
        name: value
        for command in ("global", "deploy")
        for name, value in section.get(command, {}).get("parameters", {}).items()
    }
    if "stack_name" not in merged:
        known = ", ".join(sorted({"local", *(name for name in sections if isinstance(sections[name], dict))}))
        raise LocalError(f"{samconfig.name} names no stack for ENV={environment}. It knows: {known}.")
    return merged["stack_name"], merged.get("region")


def main() -> None:
    """The token alone on standard output, so that `$(make -s token)` works."""
    parser = argparse.ArgumentParser(prog="python -m local.tokens", description=__doc__)
    parser.add_argument("role", nargs="?", choices=tuple(OUTPUTS), default="client")
    parser.add_argument("environment", nargs="?", default="local", metavar="ENV")
    chosen = parser.parse_args()
    try:
        if chosen.environment == "local":
            print(local_token(Settings.from_environ(os.environ).aws_url, chosen.role))
        else:
            print(deployed_token(REPOSITORY / "samconfig.toml", chosen.environment, chosen.role))
    except LocalError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
