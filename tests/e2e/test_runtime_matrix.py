"""Runs the streaming layer under the runtime clients that Lambda has shipped, and under the pinned one."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from managed_runtime import RUNTIME_PYTHON, Runtime, Start, starting
from runtime_contract import RuntimeContract
from tests.template import ROOT

WITHOUT_INVOCATION_IDS = ("3.1.1", "4.0.1")
PINNED = "4.2.2"
# The pinned client under the next Python version.
NEXT_PYTHON = "python3.14"

# The first run installs the runtime clients.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="session", params=[*WITHOUT_INVOCATION_IDS, PINNED, NEXT_PYTHON])
def environment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def version(environment: str) -> str:
    return PINNED if environment == NEXT_PYTHON else environment


@pytest.fixture(scope="session")
def interpreter(environment: str, version: str) -> Path:
    """Returns a Python interpreter with that version, which is installed once into .local/runtimes."""
    if environment == PINNED:
        return RUNTIME_PYTHON
    python = shutil.which(NEXT_PYTHON) if environment == NEXT_PYTHON else sys.executable
    if python is None:
        pytest.skip(f"{NEXT_PYTHON} is not on the PATH.")
    folder = ROOT / ".local/runtimes" / environment
    if not (folder / "ready").exists():
        _install(python, version, folder)
    return folder / "bin/python"


def _install(python: str, version: str, folder: Path) -> None:
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    pip = [str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", f"awslambdaric=={version}"]
    done = subprocess.run(pip, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot install awslambdaric {version}: {done.stderr.strip().rpartition('\n')[2]}")
    (folder / "ready").touch()


@pytest.fixture(scope="module")
def start_runtime(interpreter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with starting(interpreter, tmp_path_factory) as start:
        yield start


class TestEveryRuntime(RuntimeContract):
    def test_init_line_names_the_version(self, runtime: Runtime, version: str) -> None:
        assert runtime.logged(f"runtime client {version}, response mode stream\n")

    def test_newer_clients_echo_the_invocation_id(self, runtime: Runtime, version: str) -> None:
        exchange = runtime.api.invoke(do="whole")

        echoed = f"Lambda-Runtime-Invocation-Id: invocation-of-{exchange.invoke_id}" in exchange.head
        assert echoed == (version not in WITHOUT_INVOCATION_IDS)
