"""Builds source trees for `make bench BENCH=cold`: this one and another commit, each in a separate folder."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from samcli.yamlhelper import yaml_parse

from tools.local.settings import REPOSITORY


@dataclass(frozen=True)
class Tree:
    """A built commit: the functions' folder and the folders that Lambda would have under /opt.

    `memory_mb` has the default memory of each function by its folder's name.
    """

    name: str
    functions: Path
    layers: tuple[Path, ...]
    memory_mb: dict[str, int]


def build(name: str, sources: Path, folder: Path) -> Tree:
    """Copies functions and layers, installs the packages, and compiles the copy if the commit ships bytecode."""
    for part in ("functions", "layers"):
        shutil.copytree(sources / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    packages = folder / "packages"
    options = ["-q", "--disable-pip-version-check", "--no-compile", "--target", str(packages)]
    requirements = ["-r", str(sources / "layers/gateway/requirements.txt")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *requirements], check=True)
    if (sources / "tools/local/bytecode.py").exists():
        _compile(folder)
    layers = (packages, folder / "layers/gateway", folder / "layers/streaming/python")
    return Tree(name, folder / "functions", layers, _memory_mb(sources))


def check_out(ref: str, folder: Path) -> Path:
    """Writes the files of a commit into a folder and returns the folder."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", ref], cwd=REPOSITORY, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder


def _memory_mb(sources: Path) -> dict[str, int]:
    template = yaml_parse((sources / "template.yaml").read_text())
    parameters, resources = template["Parameters"], template["Resources"].values()
    functions = [r["Properties"] for r in resources if r["Type"] == "AWS::Serverless::Function"]
    default = template["Globals"]["Function"]["MemorySize"]
    return {
        Path(function["CodeUri"]).name: int(parameters[function.get("MemorySize", default)["Ref"]]["Default"])
        for function in functions
    }


def _compile(folder: Path) -> None:
    options = ["-qq", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([sys.executable, "-I", "-m", "compileall", *options, str(folder)], check=False)
