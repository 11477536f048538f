"""Runs the real awslambdaric in its own process against the test Runtime API."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime_api import RuntimeApi

LAYER = Path(__file__).parents[1]
# The gateway's repository has awslambdaric in this environment. Elsewhere the interpreter of the tests has it.
EMULATOR_PYTHON = LAYER.parents[1] / ".local/emulator/bin/python"
RUNTIME_PYTHON = EMULATOR_PYTHON if EMULATOR_PYTHON.exists() else Path(sys.executable)
HAS_RUNTIME_CLIENT = EMULATOR_PYTHON.exists() or importlib.util.find_spec("awslambdaric") is not None


@dataclass
class Runtime:
    """A function's process, its Runtime API and the file with its output."""

    api: RuntimeApi
    process: subprocess.Popen[bytes]
    output: Path

    def logged(self, text: str, timeout: float = 30, times: int = 1) -> bool:
        """Waits until the output contains the text `times` times. Returns whether it does."""
        deadline = time.monotonic() + timeout
        while self.output.read_text().count(text) < times:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


type Start = Callable[..., Runtime]


@contextlib.contextmanager
def starting(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Yields a function that starts a runtime for `app.handler` from source code and environment variables.

    Ends all started runtimes on exit.
    """
    started: list[Runtime] = []

    def start(source: str, **environment: str) -> Runtime:
        folder, api = tmp_path_factory.mktemp("function"), RuntimeApi()
        (folder / "app.py").write_text(source)
        process = launch([], python, folder, AWS_LAMBDA_RUNTIME_API=api.address, **environment)
        started.append(Runtime(api, process, folder / "output"))
        return started[-1]

    try:
        yield start
    finally:
        for runtime in started:
            runtime.process.kill()
            runtime.process.wait()
            runtime.api.close()


def launch(command_prefix: list[str], python: Path, folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Starts awslambdaric with the layer and `folder/app.py`. Its output goes to `folder/output`."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(LAYER / "python"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        **environment,
    }
    command = [*command_prefix, str(python), "-m", "awslambdaric", "app.handler"]
    with (folder / "output").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
