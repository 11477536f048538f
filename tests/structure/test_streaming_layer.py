"""The folder layers/streaming is independent of the rest of the repository, and its README matches the code."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.e2e.test_runtime_matrix import PINNED, WITHOUT_INVOCATION_IDS
from tests.template import ROOT, template

LAYER = ROOT / "layers/streaming"


def test_tests_of_the_layer_run_in_a_copy_of_its_folder(tmp_path: Path) -> None:
    """Imports every test module and runs the tests of one."""
    copy = shutil.copytree(LAYER, tmp_path / "layer", ignore=shutil.ignore_patterns("__pycache__"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHONPATH"))}
    command = [sys.executable, "-m", "pytest", "-k", "test_response.py"]
    process = subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, check=False)

    assert process.returncode == 0, process.stdout + process.stderr
    assert re.search(r"\d+ passed, \d+ deselected", process.stdout)


def test_readme_commands_build_the_example(tmp_path: Path) -> None:
    copy = shutil.copytree(LAYER, tmp_path / "layer", ignore=shutil.ignore_patterns("__pycache__"))
    [commands] = re.findall(r"^(cd example\nsam build)$", (LAYER / "README.md").read_text(), re.MULTILINE)
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "SAM_CLI_TELEMETRY": "0"}
    shell = ["sh", "-ec", commands]
    process = subprocess.run(shell, cwd=copy, env=environ, capture_output=True, text=True, check=False)

    assert process.returncode == 0, process.stderr
    build = copy / "example/.aws-sam/build"
    assert (build / "StreamingLayer/python/lambda_streaming/py.typed").is_file()
    assert list(build.glob("*/app.py")) != []


def test_layer_of_the_stack_ships_the_package_only() -> None:
    content = ROOT / template()["Resources"]["StreamingLayer"]["Properties"]["ContentUri"]

    assert content == LAYER / "python"
    assert [path.name for path in content.iterdir() if path.name != "__pycache__"] == ["lambda_streaming"]


def test_readme_names_the_tested_versions_of_the_runtime_client() -> None:
    *others, last = (*WITHOUT_INVOCATION_IDS, PINNED)
    text = " ".join((LAYER / "README.md").read_text().split())

    assert f"Tested with awslambdaric {', '.join(others)} and {last}" in text


def test_layer_and_repository_test_the_same_runtime_client() -> None:
    requirement = f"awslambdaric=={PINNED}"
    project = tomllib.loads((LAYER / "pyproject.toml").read_text())

    assert requirement in project["dependency-groups"]["test"]
    assert requirement in (ROOT / "requirements/emulator.txt").read_text().splitlines()


def test_layer_has_the_licence_of_the_repository() -> None:
    assert (LAYER / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
