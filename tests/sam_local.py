"""`sam build`, `sam local start-api` and `sam local invoke` for tests, where a Docker engine answers."""

import json
import os
import platform
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests.template import ROOT

SAM = str(ROOT / ".venv/bin/sam")
ENVIRON = os.environ | {"SAM_CLI_TELEMETRY": "0", "PATH": f"{ROOT}/.venv/bin{os.pathsep}{os.environ['PATH']}"}
ARCHITECTURE = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
STARTS_WITHIN_S = 120


def trouble() -> str | None:
    """Returns why `sam local` cannot run here. Fails instead where it is required, as in .ci/run."""
    reason = _missing()
    assert reason is None or os.environ.get("SAM_LOCAL") != "required", reason
    return reason


def _missing() -> str | None:
    """There is no Docker engine, or it can neither find nor pull the functions' base image."""
    image = f"public.ecr.aws/lambda/python:3.13-{ARCHITECTURE}"
    if not _done("docker", "version"):
        return "no Docker engine answers"
    if not _done("docker", "image", "inspect", image) and not _done("docker", "pull", "-q", image):
        return f"the Docker engine has no {image} and cannot get it"
    return None


def _done(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def build() -> None:
    """Runs `sam build` in the repository, as a developer does."""
    done = subprocess.run([SAM, "build"], cwd=ROOT, env=ENVIRON, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def start_api(env_vars: Path, port: int) -> AbstractContextManager[list[str]]:
    """Runs `sam local start-api` and yields its growing output once it is ready."""
    return _started("start-api", "--env-vars", str(env_vars), "--port", str(port))


def start_lambda(env_vars: Path, port: int) -> AbstractContextManager[list[str]]:
    """Runs `sam local start-lambda`, which invokes functions in containers that stay warm."""
    # samconfig.toml has no section for this command.
    layers = ("--skip-pull-image", "--warm-containers", "LAZY")
    return _started("start-lambda", "--env-vars", str(env_vars), "--port", str(port), *layers)


@contextmanager
def _started(*arguments: str) -> Iterator[list[str]]:
    command = [SAM, "local", *arguments]
    started = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRON, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    assert started.stdout is not None
    output = started.stdout
    reader = threading.Thread(target=lambda: lines.extend(output), daemon=True)
    reader.start()
    try:
        _wait_until_ready(started, lines)
        yield lines
    finally:
        # SAM stops its containers too.
        started.terminate()
        started.wait(60)
        reader.join(10)
        output.close()


def _wait_until_ready(started: subprocess.Popen[str], lines: list[str]) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while not any("Running on" in line for line in lines):
        assert started.poll() is None, "".join(lines)
        assert time.monotonic() < until, "".join(lines)
        time.sleep(0.1)


def invoke(function: str, event: Path, env_vars: Path) -> Any:
    """Returns the function's result of `sam local invoke`."""
    command = [SAM, "local", "invoke", function, "--event", str(event), "--env-vars", str(env_vars)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRON, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    [answer] = re.findall(r"^\s*(\{.*\})\s*$", done.stdout, re.MULTILINE)[-1:]
    return json.loads(answer)
