"""Builds and deploys the repository's template on the local AWS with the SAM CLI, only after a change."""

import asyncio
import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

from tools.local import aws, bytecode, processes, version_marker
from tools.local.settings import BUILDS, REGION, REPOSITORY, STACK, Settings, UserError

# The inputs of `sam build`: the template and the packages that it names.
SOURCES = ("template.yaml", "functions", "layers/gateway", "layers/streaming/python")
# The local AWS stores this SSM parameter, so it can never be newer than the stack itself.
DEPLOYED_VERSION_PARAMETER = "/local/deployed"
UPDATABLE_STATUSES = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
START_STATUSES = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
MAX_BUILDS = 4


def architecture() -> str:
    """Returns this machine's processor architecture by Lambda's name."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def parameters(settings: Settings) -> dict[str, str]:
    """Returns the template's parameters for the local system. The user's parameters override the others."""
    defaults = {
        "Architecture": architecture(),
        "Platform": "local",
        "Data": "throw-away",
        "AwsEndpointUrl": settings.aws_url,
    }
    return defaults | dict(settings.parameters)


def fingerprint(repository: Path, *options: str) -> str:
    """Returns a hash of the sources and of `options`."""
    digest = hashlib.sha256("\0".join(options).encode())
    for file in source_files(repository):
        digest.update(f"\0{file.relative_to(repository)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def source_files(repository: Path) -> Iterator[Path]:
    """Yields every file that `sam build` reads."""
    for source in SOURCES:
        path = repository / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


def build_folder(settings: Settings) -> Path:
    """Returns the folder for the build of the current sources. Systems with the same sources share it."""
    return BUILDS / fingerprint(REPOSITORY, parameters(settings)["Architecture"])


async def build(settings: Settings) -> Path:
    """Builds the current sources unless a build exists, and returns its folder."""
    folder = build_folder(settings)
    BUILDS.mkdir(parents=True, exist_ok=True)
    async with _locked(BUILDS / "lock"):
        if not folder.exists():
            incomplete = BUILDS / "new"
            shutil.rmtree(incomplete, ignore_errors=True)
            architecture = f"Architecture={parameters(settings)['Architecture']}"
            options = ["--cached", "--parallel", "--build-dir", str(incomplete), "--cache-dir", str(BUILDS / "cache")]
            await run_sam(settings, "build", *options, "--parameter-overrides", architecture)
            await asyncio.to_thread(bytecode.compile_build, incomplete)
            await asyncio.to_thread(rewrite_as_json, incomplete / "template.yaml")
            # Only a complete build gets its final name.
            incomplete.rename(folder)
        os.utime(folder)
        delete_old_builds(BUILDS)
    return folder


def rewrite_as_json(template: Path) -> None:
    """Rewrites a template, because every start and every deployment reads it, and YAML takes a hundred times longer."""
    template.write_text(json.dumps(yaml_parse(template.read_text())))


async def is_deployed(settings: Settings, folder: Path) -> bool:
    """Returns whether the local AWS has this build deployed with the current parameters."""
    if await asyncio.to_thread(_stack_status, settings) not in UPDATABLE_STATUSES:
        return False
    return await asyncio.to_thread(_deployed_version, settings) == _version(settings, folder)


async def deploy(settings: Settings, folder: Path) -> None:
    """Deploys the build. Raises UserError with CloudFormation's reason."""
    status = await asyncio.to_thread(_stack_status, settings)
    if status is not None and not status.startswith("UPDATE_") and status not in UPDATABLE_STATUSES:
        await asyncio.to_thread(_delete_stack, settings)
    overrides = [f"{name}={value}" for name, value in parameters(settings).items()]
    template = version_marker.write_marked_copy(folder / "template.yaml", overrides)
    options = ["--template-file", str(template), "--stack-name", STACK, "--resolve-s3"]
    options += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--region", REGION]
    options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--use-json"]
    await run_sam(settings, "deploy", *options, "--parameter-overrides", *overrides)
    await asyncio.to_thread(_record_version, settings, _version(settings, folder))


def _version(settings: Settings, folder: Path) -> str:
    return f"{folder.name} {json.dumps(parameters(settings), sort_keys=True)}"


async def run_sam(settings: Settings, command: str, *arguments: str, folder: Path = BUILDS) -> None:
    """Runs a SAM command that can call only the local AWS. Raises UserError with the end of its log."""
    # An empty file, so that the user's SAM configuration for AWS has no effect.
    configuration = folder / "samconfig.toml"
    configuration.touch()
    environment = aws.environment(settings.aws_url, os.environ) | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.2",
    }
    log = settings.logs / f"sam-{command}.log"
    line = [*processes.PARENT_WATCH, "samcli", command, "--config-file", str(configuration), *arguments]
    if await processes.run(f"sam {command}", line, log=log, environment=environment) != 0:
        reason = await asyncio.to_thread(_failure_reason, settings) if command == "deploy" else ""
        raise UserError(f"`sam {command}` failed. {reason}Its log is {log}:\n{processes.tail(log)}")


def _stack_status(settings: Settings) -> str | None:
    cloudformation = aws.client("cloudformation", settings.aws_url)
    try:
        return str(cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])
    except cloudformation.exceptions.ClientError:
        # CloudFormation has no specific error code for a stack that does not exist.
        return None


def _delete_stack(settings: Settings) -> None:
    """Deletes a stack whose first deployment failed or was interrupted: it has no data and cannot be updated.

    A stack whose update failed can be updated again and is never deleted.
    """
    cloudformation = aws.client("cloudformation", settings.aws_url)
    cloudformation.delete_stack(StackName=STACK)
    waiter = cloudformation.get_waiter("stack_delete_complete")
    waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def _failure_reason(settings: Settings) -> str:
    """Returns CloudFormation's reason for the failed deployment, or "" if the stack does not exist."""
    cloudformation = aws.client("cloudformation", settings.aws_url)
    try:
        return first_failure(cloudformation.describe_stack_events(StackName=STACK)["StackEvents"])
    except cloudformation.exceptions.ClientError:
        return ""


def first_failure(newest_first: list[dict[str, Any]]) -> str:
    """Returns the reason of the last deployment's first failure, or "". Later failures only follow from it."""
    reason = ""
    for event in newest_first:
        if event["ResourceType"] == "AWS::CloudFormation::Stack" and event["ResourceStatus"] in START_STATUSES:
            break
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'failed')}. "
    return reason


def _deployed_version(settings: Settings) -> str | None:
    ssm = aws.client("ssm", settings.aws_url)
    try:
        return str(ssm.get_parameter(Name=DEPLOYED_VERSION_PARAMETER)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return None


def _record_version(settings: Settings, version: str) -> None:
    ssm = aws.client("ssm", settings.aws_url)
    ssm.put_parameter(Name=DEPLOYED_VERSION_PARAMETER, Value=version, Type="String", Overwrite=True)


def delete_old_builds(folder: Path) -> None:
    """Deletes all but the most recently used builds. Another running system may still use a recent one."""
    builds = [path.parent for path in folder.glob("*/template.yaml")]
    for build in sorted(builds, key=lambda build: build.stat().st_mtime)[:-MAX_BUILDS]:
        shutil.rmtree(build, ignore_errors=True)


@asynccontextmanager
async def _locked(file: Path) -> AsyncIterator[None]:
    """Holds an exclusive lock, because concurrent builds would corrupt the shared cache."""
    with file.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.2)
        yield
