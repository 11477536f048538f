"""The real awslambdaric, in a process of its own, at a Runtime API of ours."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.runtime_api import RuntimeApi

ROOT = Path(__file__).parents[1]
RUNTIME_PYTHON = ROOT / ".local/emulator/bin/python"


@dataclass
class Runtime:
    """A function's process, the Runtime API that it serves and what it has printed."""

    api: RuntimeApi
    process: subprocess.Popen[bytes]
    output: Path

    def logged(self, text: str, within: float = 5) -> bool:
        until = time.monotonic() + within
        while text not in self.output.read_text():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True


type Start = Callable[..., Runtime]


@contextlib.contextmanager
def starting(python: Path, temporary: pytest.TempPathFactory) -> Iterator[Start]:
    """What it gives starts `app.handler`, the source given, with more environment if wished; all end with it."""
    started: list[Runtime] = []

    def start(source: str, **environment: str) -> Runtime:
        folder, api = temporary.mktemp("function"), RuntimeApi()
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


def launch(under: list[str], python: Path, folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """The runtime client with the layer, `app.py` of the folder as its function, `output` there as its log."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "layers/streaming/python"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        **environment,
    }
    command = [*under, str(python), "-m", "awslambdaric", "app.handler"]
    with (folder / "output").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
