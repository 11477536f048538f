"""Client programs in their own environments: libraries that read JSON jobs, and command-line tools."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.template import ROOT

CLIENTS_PAGE = (ROOT / "docs/clients.md").read_text()
SOURCES = ROOT / "tests/e2e/clients"
INSTALLED = ROOT / ".local/clients"
CLIENT_PYTHON = str(INSTALLED / "python/bin/python")
MIN_NODE = 20
EXIT_TIMEOUT_S = 30
# LiteLLM downloads a table of prices when it is imported, unless this variable is set.
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


@cache
def node() -> str:
    """Returns the path of Node. Skips the test if Node is missing or too old."""
    path = shutil.which("node")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout if path else "v0"
    if path is None or int(version[1:].partition(".")[0]) < MIN_NODE:
        pytest.skip(f"Node {MIN_NODE} is not on the PATH")
    return path


def node_program(name: str) -> list[str]:
    """Returns the command of a program in `node/`. Node looks for packages in the folders above a program."""
    if not (INSTALLED / "node_modules").is_dir():
        pytest.fail("The packages of Node are not installed. Run `make -B .local/clients/ready`.")
    folder = INSTALLED / "programs"
    shutil.copytree(SOURCES / "node", folder, dirs_exist_ok=True)
    return [node(), str(folder / f"{name}.mjs")]


def python_program(name: str, interpreter: str = sys.executable) -> list[str]:
    return [interpreter, str(SOURCES / "python" / f"{name}.py")]


@dataclass(frozen=True)
class Job:
    """One call of a library. `auth` is the library's own name for the kind of token."""

    base_url: str
    token: str
    auth: str = ""
    model: str = "echo"
    prompt: str = "Grüße aus Zürich 🚀"
    stream: bool = False
    tools: bool = False
    headers: Mapping[str, str] | None = None


class Program:
    """A running program. It reads one job a line and prints one result a line."""

    def __init__(self, command: list[str]) -> None:
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_"))
        }
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables | OFFLINE, cwd=INSTALLED
        )

    def run(self, job: Job) -> dict[str, Any]:
        """Returns the result: `text`, `calls` as pairs of name and arguments, and `error`, which may be None."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(job.__dict__), file=self._process.stdin, flush=True)
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(EXIT_TIMEOUT_S)
        self._process.stdout.close()


def run_tool(
    command: list[str], folder: Path, variables: Mapping[str, str], timeout_s: float = 90
) -> subprocess.CompletedProcess[str]:
    """Runs a command-line tool in an empty home folder, with no other variables than these."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
