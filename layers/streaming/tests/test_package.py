"""The package that users install: its wheel, its changelog and the example of its README."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from managed_runtime import LAYER

PROJECT = tomllib.loads((LAYER / "pyproject.toml").read_text())
README = (LAYER / "README.md").read_text()


def code_block(language: str) -> str:
    """Returns the first code block of the README in this language."""
    return README.partition(f"```{language}\n")[2].partition("```")[0]


@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="needs setuptools, which builds the wheel")
def test_wheel_has_every_module_and_the_type_marker(tmp_path: Path) -> None:
    # A build writes next to pyproject.toml.
    source = shutil.copytree(LAYER, tmp_path / "source", ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "-w", tmp_path, source], check=True)

    wheel = tmp_path / f"lambda_streaming-{PROJECT['project']['version']}-py3-none-any.whl"
    files = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"lambda_streaming/{path.name}" for path in (source / "python/lambda_streaming").glob("*.py")}
    assert {name for name in files if ".dist-info/" not in name} == modules | {"lambda_streaming/py.typed"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in files)


@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="needs setuptools, which builds the wheel")
def test_readme_command_fills_a_folder(tmp_path: Path) -> None:
    [command] = re.findall(r"^pip (install --no-deps --target FOLDER \.)$", README, re.MULTILINE)
    # A build writes next to pyproject.toml.
    source = shutil.copytree(LAYER, tmp_path / "source", ignore=shutil.ignore_patterns("__pycache__"))
    arguments = command.replace("FOLDER", str(tmp_path / "function")).split()
    offline = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-build-isolation"]

    subprocess.run([sys.executable, "-m", "pip", *arguments, *offline], cwd=source, check=True)

    assert (tmp_path / "function/lambda_streaming/py.typed").is_file()


def test_newest_heading_of_the_changelog_is_the_version() -> None:
    headings = re.findall(r"^## (.+)$", (LAYER / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert next(heading for heading in headings if heading != "Unreleased") == PROJECT["project"]["version"]


def test_readme_shows_the_example() -> None:
    assert code_block("python") == (LAYER / "example/function/app.py").read_text()
    assert code_block("yaml") in (LAYER / "example/template.yaml").read_text()
