"""Source trees for `make bench BENCH=cold`: this one and another commit, each built beside the other."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.local.settings import REPOSITORY


@dataclass(frozen=True)
class Tree:
    """A built commit: the functions' folder and the folders that Lambda would have under /opt."""

    name: str
    functions: Path
    layers: tuple[Path, ...]


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
    return Tree(name, folder / "functions", (packages, folder / "layers/gateway", folder / "layers/streaming/python"))


def check_out(ref: str, folder: Path) -> Path:
    """Writes the files of a commit into a folder and returns the folder."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", ref], cwd=REPOSITORY, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder


def _compile(folder: Path) -> None:
    options = ["-qq", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([sys.executable, "-I", "-m", "compileall", *options, str(folder)], check=False)
