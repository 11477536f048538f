"""`python -m tools.ops.deploy [--delete] ENV`: deploys the stack to AWS, or deletes it, with your credentials."""

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

from tools.local import bytecode, version_marker
from tools.local.settings import REPOSITORY, UserError
from tools.ops.environments import Environment

# Separate from the folders of `sam build` and `make dev`, which may build for another processor architecture.
BUILDS = REPOSITORY / ".local" / "deploy"
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
# The resources that a deletion may retain, by logical id: what they are, and the parameter that retains them.
REGISTRY_RESOURCES = {
    "ProvidersTable": "the table of the providers",
    "RollUpsTable": "the table of their uptime and incidents",
    "ProviderKeysKey": "the KMS key of their API keys",
}
ACCOUNT_RESOURCES = {"LoggingRole": "the logging role of the account's APIs"}
RETAINED_BY = dict.fromkeys(REGISTRY_RESOURCES, "Data=keep") | dict.fromkeys(ACCOUNT_RESOURCES, "AccessLogs=create")


def is_aws(url: str) -> bool:
    """Returns whether an endpoint belongs to AWS. VPC endpoints do."""
    return (urlsplit(url).hostname or "").endswith(AWS_HOSTS)


def is_local(url: str) -> bool:
    """Returns whether an endpoint is on this machine, as the local AWS is."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def endpoint_check() -> Callable[[str], bool]:
    """Returns the check for allowed endpoints: AWS only, or with REHEARSE=1 the local AWS only.

    Settings left over in a shell therefore never direct a rehearsal to AWS, or a deployment to the local AWS.
    """
    return is_local if os.environ.get("REHEARSE") == "1" else is_aws


@dataclass(frozen=True)
class Account:
    """An AWS account and region whose credentials work. `cloudformation` is a boto3 client."""

    number: str
    region: str
    cloudformation: Any

    def stack(self, name: str) -> dict[str, Any] | None:
        """Returns CloudFormation's description of the stack, or None if there is none. Raises UserError."""
        try:
            return dict(self.cloudformation.describe_stacks(StackName=name)["Stacks"][0])
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise UserError(f"CloudFormation cannot describe the stack {name}: {error}") from None


def find_account(environment: Environment, *, is_allowed: Callable[[str], bool] = is_aws) -> Account:
    """Returns the account and region of the environment. Raises UserError, which says what to do."""
    try:
        session = environment.session()
        for service in ("cloudformation", "s3", "sts"):
            url = session.client(service).meta.endpoint_url
            if not is_allowed(url):
                raise UserError(_wrong_endpoint_message(service, url, is_rehearsal=is_allowed is is_local))
        number = session.client("sts").get_caller_identity()["Account"]
        return Account(number, session.region_name, session.client("cloudformation"))
    except (BotoCoreError, ClientError) as error:
        raise UserError(f"Cannot find the AWS account: {error}\nLog in (`aws sso login`) or set AWS_PROFILE.") from None


def _wrong_endpoint_message(service: str, url: str, *, is_rehearsal: bool) -> str:
    if is_rehearsal:
        return (
            f"REHEARSE=1 allows the local AWS only, but {service} would be called at {url}. "
            "Start `make dev` and set AWS_ENDPOINT_URL=http://localhost:4566, or unset REHEARSE."
        )
    return (
        f"{service} would be called at {url}, which is not AWS. Unset AWS_ENDPOINT_URL, and endpoint_url "
        "in your AWS configuration. To deploy to the local AWS, use `make dev` and `make aws`."
    )


def deploy(environment: Environment, find: Callable[[Environment], Account], *, interactive: bool) -> None:
    """Builds and deploys to the account that `find` returns. Raises UserError."""
    account = find(environment)
    is_new = environment.stack is None or account.stack(environment.stack) is None
    if environment.stack is None and not interactive:
        environment.require_stack()
    stack = environment.stack or "a new stack"
    print(f"Deploying {stack} to account {account.number}, {account.region}.", flush=True)
    build_and_deploy(environment, account, guided=is_new and interactive, interactive=interactive)
    saved = Environment.read(environment.samconfig, environment.name)
    if saved != environment:
        # In a guided deployment the user may have chosen another region.
        account = find(saved)
    if saved.architecture != environment.architecture:
        built = environment.architecture
        print(f"You chose {saved.architecture}, but the build is for {built}. Building again.", flush=True)
        build_and_deploy(saved, account, guided=False, interactive=interactive)
    print_outputs(saved, account)


def build_and_deploy(environment: Environment, account: Account, *, guided: bool, interactive: bool) -> None:
    """Builds for the architecture in samconfig.toml and deploys. A guided deployment asks for it after the build."""
    folder = BUILDS / environment.name
    region = environment.region or account.region
    run_sam("build", *build_options(environment, folder))
    bytecode.compile_build(folder)
    # The answers to a guided deployment are unknown here and may differ from the last ones.
    unknown_answers = [uuid4().hex] if guided else []
    template = version_marker.write_marked_copy(folder / "template.yaml", [*environment.overrides, *unknown_answers])
    run_sam("deploy", *deploy_options(environment, template, region=region, guided=guided, interactive=interactive))


def print_outputs(environment: Environment, account: Account) -> None:
    """Prints each output on one line. SAM's own table wraps the commands, so that they cannot be pasted."""
    # A user who does not save the answers of a guided deployment leaves samconfig.toml without a stack.
    stack = environment.stack and account.stack(environment.stack)
    for output in stack["Outputs"] if stack else ():
        print(f"{output['Description']}:\n  {output['OutputValue']}")
    print("Next: register TokenHub as docs/deploy.md describes.")


def build_options(environment: Environment, folder: Path) -> list[str]:
    """Returns the options of `sam build`."""
    options = [*_configuration(environment), "--template-file", str(REPOSITORY / "template.yaml")]
    options += ["--cached", "--parallel", "--build-dir", str(folder), "--cache-dir", str(BUILDS / "cache")]
    return [*options, "--parameter-overrides", f"Architecture={environment.architecture}"]


def deploy_options(
    environment: Environment, template: Path, *, region: str, guided: bool, interactive: bool
) -> list[str]:
    """Returns the options of `sam deploy`.

    A guided `sam deploy` asks for every parameter, suggests these options and saves the answers in samconfig.toml.
    Otherwise it uses the values in samconfig.toml.
    """
    options = [*_configuration(environment), "--template-file", str(template), "--region", region]
    options += ["--capabilities", *CAPABILITIES]
    if guided:
        return [*options, "--guided", "--stack-name", environment.stack or f"tokenhub-gateway-{environment.name}"]
    options += ["--stack-name", environment.require_stack(), "--no-fail-on-empty-changeset"]
    return [
        *options,
        *([] if environment.has_bucket else ["--resolve-s3"]),
        *([] if interactive else ["--no-confirm-changeset"]),
    ]


def delete(environment: Environment, account: Account, *, confirmed: bool) -> None:
    """Deletes the stack and prints what is retained. Raises UserError."""
    stack = environment.require_stack()
    description = account.stack(stack)
    if description is None:
        raise UserError(f"There is no stack {stack} in account {account.number}, {account.region}.")
    retained = retained_resources(account, description)
    prompts = ["--no-prompts"] if confirmed else []
    run_sam("delete", *_configuration(environment), "--stack-name", stack, "--region", account.region, *prompts)
    if account.stack(stack) is None:
        names = REGISTRY_RESOURCES | ACCOUNT_RESOURCES
        for logical_id, physical_id in retained.items():
            print(f"Retained because of {RETAINED_BY[logical_id]}: {names[logical_id]}, {physical_id}")


def retained_resources(account: Account, stack: dict[str, Any]) -> dict[str, str]:
    """Returns the resources that a deletion retains, as logical id → physical id. Call it before the deletion."""
    parameters = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack.get("Parameters", [])}
    keeps_registry = parameters.get("Data") != "throw-away"
    retained = REGISTRY_RESOURCES | ACCOUNT_RESOURCES if keeps_registry else ACCOUNT_RESOURCES
    pages = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack["StackName"])
    # After a failed first deployment some resources were never created, or the rollback has deleted them.
    resources = [
        resource
        for page in pages
        for resource in page["StackResourceSummaries"]
        if "PhysicalResourceId" in resource and resource["ResourceStatus"] != "DELETE_COMPLETE"
    ]
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources if r["LogicalResourceId"] in retained}


def _configuration(environment: Environment) -> list[str]:
    # Without --config-file, SAM would read a samconfig.toml beside the template.
    return ["--config-file", str(environment.samconfig), "--config-env", environment.name]


def run_sam(command: str, *options: str) -> None:
    """Runs a SAM command in this terminal. Raises UserError when it fails; SAM has then printed the reason."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    environ = os.environ | {"PATH": path, "SAM_CLI_TELEMETRY": "0"}
    result = subprocess.run([sys.executable, "-m", "samcli", command, *options], env=environ, check=False)
    if result.returncode != 0:
        raise UserError(f"`sam {command}` failed with exit code {result.returncode}. SAM printed the reason above.")


def main() -> None:
    """Exits with code 1 and one sentence on an error."""
    parser = argparse.ArgumentParser(prog="python -m tools.ops.deploy", description=__doc__)
    parser.add_argument("environment", metavar="ENV", help="an environment in samconfig.toml, or the name of a new one")
    parser.add_argument("--delete", action="store_true")
    options = parser.parse_args()
    interactive = sys.stdin.isatty()
    try:
        if options.environment == "local":
            raise UserError("ENV is not set. Set ENV=dev or another environment. `make dev` starts the local system.")
        environment = Environment.read(REPOSITORY / "samconfig.toml", options.environment)
        find = partial(find_account, is_allowed=endpoint_check())
        if not options.delete:
            deploy(environment, find, interactive=interactive)
            return
        confirmed = os.environ.get("YES") == "1"
        if not (interactive or confirmed):
            raise UserError("The deletion needs a confirmation, and there is no terminal. Set YES=1 to skip it.")
        delete(environment, find(environment), confirmed=confirmed)
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped.")


if __name__ == "__main__":
    main()
