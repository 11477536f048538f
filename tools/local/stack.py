"""Builds and deploys this very template on the local AWS with the SAM CLI, only when something changed."""

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

from tools.local import aws, processes, version_marker
from tools.local.settings import BUILDS, REGION, REPOSITORY, STACK, LocalError, Settings

SOURCES = ("template.yaml", "functions", "layers")
RECORD = "/local/deployed"  # kept in the local AWS itself, so that it can never be newer than the stack
USABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
BEGINNINGS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
BUILDS_KEPT = 4


def architecture() -> str:
    """This machine's processor, as Lambda calls it."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def parameters(settings: Settings) -> dict[str, str]:
    """The template's parameters for the local system; those that the user chose come last."""
    own = {
        "Architecture": architecture(),
        "Platform": "local",
        "Data": "throw-away",
        "AwsEndpointUrl": settings.aws_url,
    }
    return own | dict(settings.parameters)


def fingerprint(repository: Path, *more: str) -> str:
    """A hash of all that `sam build` reads, and of `more`."""
    digest = hashlib.sha256("\0".join(more).encode())
    for file in _files(repository):
        digest.update(f"\0{file.relative_to(repository)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(repository: Path) -> Iterator[Path]:
    for source in SOURCES:
        path = repository / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


def build_folder(settings: Settings) -> Path:
    """Where the build of the present sources is, or will be. Systems with the same sources share it."""
    return BUILDS / fingerprint(REPOSITORY, parameters(settings)["Architecture"])


async def build(settings: Settings) -> Path:
    """The folder of the build, made now if there is none of the present sources."""
    folder = build_folder(settings)
    BUILDS.mkdir(parents=True, exist_ok=True)
    async with _locked(BUILDS / "lock"):
        if not folder.exists():
            new = BUILDS / "new"
            shutil.rmtree(new, ignore_errors=True)
            architecture = f"Architecture={parameters(settings)['Architecture']}"
            options = ["--cached", "--parallel", "--build-dir", str(new), "--cache-dir", str(BUILDS / "cache")]
            await command(settings, "build", *options, "--parameter-overrides", architecture)
            new.rename(folder)  # the name says that it is whole
        os.utime(folder)
        forget_old_builds(BUILDS)
    return folder


async def is_deployed(settings: Settings, folder: Path) -> bool:
    """Whether this build, with these parameters, is what the local AWS has."""
    if await asyncio.to_thread(_stack, settings) not in USABLE:
        return False
    return await asyncio.to_thread(_deployed, settings) == _version(settings, folder)


async def deploy(settings: Settings, folder: Path) -> None:
    """Deploy the build. Raises LocalError with CloudFormation's reason."""
    status = await asyncio.to_thread(_stack, settings)
    if status is not None and not status.startswith("UPDATE_") and status not in USABLE:
        await asyncio.to_thread(_delete, settings)  # never was whole, so nothing is lost
    overrides = [f"{name}={value}" for name, value in parameters(settings).items()]
    template = version_marker.marked(folder / "template.yaml", overrides)
    options = ["--template-file", str(template), "--stack-name", STACK, "--resolve-s3"]
    options += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--region", REGION]
    options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    await command(settings, "deploy", *options, "--parameter-overrides", *overrides)
    await asyncio.to_thread(_record, settings, _version(settings, folder))


def _version(settings: Settings, folder: Path) -> str:
    return f"{folder.name} {json.dumps(parameters(settings), sort_keys=True)}"


async def command(settings: Settings, name: str, *arguments: str, folder: Path = BUILDS) -> None:
    """Run a SAM command that can reach the local AWS only. Raises LocalError with the end of its log."""
    configuration = folder / "samconfig.toml"  # an empty one: what the user configured for AWS must not leak in
    configuration.touch()
    environment = aws.environment(settings.aws_url, os.environ) | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.2",
    }
    log = settings.logs / f"sam-{name}.log"
    line = [*processes.LIFELINE, "samcli", name, "--config-file", str(configuration), *arguments]
    if await processes.run(f"sam {name}", line, log=log, environment=environment) != 0:
        reason = await asyncio.to_thread(_reason, settings) if name == "deploy" else ""
        raise LocalError(f"`sam {name}` failed. {reason}Its log is {log}:\n{processes.tail(log)}")


def _stack(settings: Settings) -> str | None:
    formation = aws.client("cloudformation", settings.aws_url)
    try:
        return str(formation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])
    except formation.exceptions.ClientError:  # CloudFormation's "does not exist" has no code of its own
        return None


def _delete(settings: Settings) -> None:
    """A stack whose first deployment failed, or was cut off, takes no other. One whose update was takes the next."""
    formation = aws.client("cloudformation", settings.aws_url)
    formation.delete_stack(StackName=STACK)
    formation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def _reason(settings: Settings) -> str:
    """Why the deployment failed, by CloudFormation's own events; empty if it never came that far."""
    formation = aws.client("cloudformation", settings.aws_url)
    try:
        return first_failure(formation.describe_stack_events(StackName=STACK)["StackEvents"])
    except formation.exceptions.ClientError:
        return ""


def first_failure(newest_first: list[dict[str, Any]]) -> str:
    """The failure that the last deployment began with; the others follow from it."""
    first = ""
    for event in newest_first:
        if event["ResourceType"] == "AWS::CloudFormation::Stack" and event["ResourceStatus"] in BEGINNINGS:
            break
        if event["ResourceStatus"].endswith("_FAILED"):
            first = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'failed')}. "
    return first


def _deployed(settings: Settings) -> str | None:
    store = aws.client("ssm", settings.aws_url)
    try:
        return str(store.get_parameter(Name=RECORD)["Parameter"]["Value"])
    except store.exceptions.ParameterNotFound:
        return None


def _record(settings: Settings, version: str) -> None:
    aws.client("ssm", settings.aws_url).put_parameter(Name=RECORD, Value=version, Type="String", Overwrite=True)


def forget_old_builds(folder: Path) -> None:
    """Except the last used; a system that still runs may need its own."""
    builds = [path.parent for path in folder.glob("*/template.yaml")]
    for old in sorted(builds, key=lambda build: build.stat().st_mtime)[:-BUILDS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


@asynccontextmanager
async def _locked(file: Path) -> AsyncIterator[None]:
    """One build at a time: two would use the same cache."""
    with file.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.2)
        yield
