"""`python -m tools.ops.deploy [--delete] ENV`: deploys this template to AWS, or deletes it, with your credentials."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from tools.local import version_marker
from tools.local.settings import REPOSITORY, LocalError
from tools.ops.environments import Environment

BUILDS = REPOSITORY / ".local" / "deploy"  # its own: `sam build` and `make dev` build for other processors
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
REGISTRY = {"ProvidersTable": "the table of the providers", "ProviderKeysKey": "the KMS key of their API keys"}
ACCOUNT = {"LoggingRole": "the logging role of the account's APIs"}
WHY = dict.fromkeys(REGISTRY, "Data=keep") | dict.fromkeys(ACCOUNT, "AccessLogs=create")


def is_aws(url: str) -> bool:
    """Whether an endpoint is one of AWS itself, its VPC endpoints included."""
    return (urlsplit(url).hostname or "").endswith(AWS_HOSTS)


def is_this_machine(url: str) -> bool:
    """Whether an endpoint is a local AWS."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def expected_endpoint() -> Callable[[str], bool]:
    """AWS, or with REHEARSE=1 a local AWS and nothing else: what is said in one shell must not reach the other."""
    return is_this_machine if os.environ.get("REHEARSE") == "1" else is_aws


@dataclass(frozen=True)
class Account:
    """An account and a region that answered."""

    number: str
    region: str
    formation: Any

    def stack(self, name: str) -> dict[str, Any] | None:
        """CloudFormation's description of the stack, or None."""
        try:
            return dict(self.formation.describe_stacks(StackName=name)["Stacks"][0])
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise LocalError(f"CloudFormation does not tell of the stack {name}: {error}") from None


def account(environment: Environment, *, expected: Callable[[str], bool] = is_aws) -> Account:
    """Where the environment is deployed. Raises LocalError with what to do."""
    try:
        session = environment.session()
        for service in ("cloudformation", "s3", "sts"):
            url = session.client(service).meta.endpoint_url
            if not expected(url):
                if expected is is_this_machine:
                    raise LocalError(
                        f"REHEARSE=1 reaches a local AWS only, and {service} would be called at {url}. "
                        "Start `make dev` and set AWS_ENDPOINT_URL=http://localhost:4566, or unset REHEARSE."
                    )
                raise LocalError(
                    f"{service} would be called at {url}, which is not AWS. Unset AWS_ENDPOINT_URL, and endpoint_url "
                    "in your AWS configuration. To the local AWS deploy `make dev` and `make aws`."
                )
        number = session.client("sts").get_caller_identity()["Account"]
        return Account(number, session.region_name, session.client("cloudformation"))
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"No AWS account answers: {error}\nLog in (`aws sso login`) or set AWS_PROFILE.") from None


def deploy(environment: Environment, find: Callable[[Environment], Account], *, terminal: bool) -> None:
    """Build and deploy to the account that `find` gives. Raises LocalError."""
    to = find(environment)
    new = environment.stack is None or to.stack(environment.stack) is None
    if environment.stack is None and not terminal:
        environment.named_stack()
    print(f"{environment.stack or 'A new stack'} in account {to.number}, {to.region}.", flush=True)
    build_and_deploy(environment, to, guided=new and terminal, terminal=terminal)
    answered = Environment.read(environment.samconfig, environment.name)
    if answered != environment:
        to = find(answered)  # guided, the user may have named another region
    if answered.architecture != environment.architecture:
        built = environment.architecture
        print(f"You chose {answered.architecture}, and the build was for {built}: once more.", flush=True)
        build_and_deploy(answered, to, guided=False, terminal=terminal)
    tell(answered, to)


def build_and_deploy(environment: Environment, to: Account, *, guided: bool, terminal: bool) -> None:
    """For the processor that the environment names; guided, SAM asks for it only after the build."""
    folder = BUILDS / environment.name
    region = environment.region or to.region
    run("build", *build_options(environment, folder))
    asked = [uuid4().hex] if guided else []  # whatever is answered, it may differ from the last time
    template = version_marker.marked(folder / "template.yaml", [*environment.overrides, *asked])
    run("deploy", *deploy_options(environment, template, region=region, guided=guided, terminal=terminal))


def tell(environment: Environment, of: Account) -> None:
    """The outputs, one line each: SAM's own table breaks the commands that are there to be pasted."""
    stack = environment.stack and of.stack(environment.stack)  # none where the guided user did not save the answers
    for output in stack["Outputs"] if stack else ():
        print(f"{output['Description']}:\n  {output['OutputValue']}")
    print("Next: register TokenHub. docs/deploy.md says how.")


def build_options(environment: Environment, folder: Path) -> list[str]:
    """`--config-file`, because SAM would look for one beside the template."""
    options = [*_configuration(environment), "--template-file", str(REPOSITORY / "template.yaml")]
    options += ["--cached", "--parallel", "--build-dir", str(folder), "--cache-dir", str(BUILDS / "cache")]
    return [*options, "--parameter-overrides", f"Architecture={environment.architecture}"]


def deploy_options(environment: Environment, template: Path, *, region: str, guided: bool, terminal: bool) -> list[str]:
    """Guided, SAM asks for everything, offers what is given here, and writes the answers to samconfig.toml; otherwise
    it takes what stands there."""
    options = [*_configuration(environment), "--template-file", str(template), "--region", region]
    options += ["--capabilities", *CAPABILITIES]
    if guided:
        return [*options, "--guided", "--stack-name", environment.stack or f"tokenhub-gateway-{environment.name}"]
    options += ["--stack-name", environment.named_stack(), "--no-fail-on-empty-changeset"]
    return [
        *options,
        *([] if environment.has_bucket else ["--resolve-s3"]),
        *([] if terminal else ["--no-confirm-changeset"]),
    ]


def delete(environment: Environment, of: Account, *, confirmed: bool) -> None:
    """Delete the stack, and say what stays. Raises LocalError."""
    stack = environment.named_stack()
    found = of.stack(stack)
    if found is None:
        raise LocalError(f"There is no stack {stack} in account {of.number}, {of.region}.")
    kept = stays(of, found)
    prompts = ["--no-prompts"] if confirmed else []
    run("delete", *_configuration(environment), "--stack-name", stack, "--region", of.region, *prompts)
    if of.stack(stack) is None:
        for name, physical_id in kept.items():
            print(f"Kept, because {WHY[name]}: {(REGISTRY | ACCOUNT)[name]}, {physical_id}")


def stays(of: Account, stack: dict[str, Any]) -> dict[str, str]:
    """What a deletion leaves, by logical id. The physical ids, because after it nothing names them any more."""
    chosen = {given["ParameterKey"]: given["ParameterValue"] for given in stack.get("Parameters", [])}
    may_stay = ACCOUNT if chosen.get("Data") == "throw-away" else REGISTRY | ACCOUNT
    pages = of.formation.get_paginator("list_stack_resources").paginate(StackName=stack["StackName"])
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources if r["LogicalResourceId"] in may_stay}


def _configuration(environment: Environment) -> list[str]:
    return ["--config-file", str(environment.samconfig), "--config-env", environment.name]


def run(command: str, *options: str) -> None:
    """A SAM command in this terminal. Raises LocalError; its own words are above then."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    environ = os.environ | {"PATH": path, "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run([sys.executable, "-m", "samcli", command, *options], env=environ, check=False)
    if done.returncode != 0:
        raise LocalError(f"`sam {command}` ended with {done.returncode}; the reason is above.")


def main() -> None:
    """Exit code 1 with one sentence after trouble."""
    parser = argparse.ArgumentParser(prog="python -m tools.ops.deploy", description=__doc__)
    parser.add_argument("environment", metavar="ENV", help="an environment of samconfig.toml, or the name of a new one")
    parser.add_argument("--delete", action="store_true")
    chosen = parser.parse_args()
    terminal = sys.stdin.isatty()
    try:
        if chosen.environment == "local":
            raise LocalError("Which environment? Say ENV=dev, or another one. The local system is `make dev`.")
        environment = Environment.read(REPOSITORY / "samconfig.toml", chosen.environment)
        find = partial(account, expected=expected_endpoint())
        if not chosen.delete:
            deploy(environment, find, terminal=terminal)
            return
        confirmed = os.environ.get("YES") == "1"
        if not (terminal or confirmed):
            raise LocalError("Nobody is there to ask. YES=1 deletes without asking.")
        delete(environment, find(environment), confirmed=confirmed)
    except LocalError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped.")


if __name__ == "__main__":
    main()
