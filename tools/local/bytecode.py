"""Compiles the Python modules of a build next to their sources, so that a cold start compiles nothing.

AWS advises against `__pycache__` in a package, because bytecode of another architecture or operating system "might not
be compatible" (https://docs.aws.amazon.com/lambda/latest/dg/python-package.html#python-package-pycache). CPython's
bytecode depends on neither. It depends on the minor version, whose magic number each file starts with. Python ignores a
file with another number and compiles the source, which stays in the package.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

from tools.local.settings import UserError

# By resource type: the property that names the package, and the folder on Lambda to which it is extracted.
MOUNTS = {
    "AWS::Serverless::Function": ("CodeUri", "/var/task"),
    "AWS::Serverless::LayerVersion": ("ContentUri", "/opt"),
}


def compile_build(build: Path) -> None:
    """Compiles every package of a build by `sam build`. Call it after each build, because SAM drops `*.pyc` files.

    Two builds of the same sources have the same bytes: the files hold no modification time and no path of this
    machine. A module that cannot be compiled is skipped. Raises UserError if the template's runtime is another version
    of Python, or if the compiler itself fails.
    """
    template = yaml_parse((build / "template.yaml").read_text())
    _check_version(template["Globals"]["Function"]["Runtime"])
    for package, mount in packages(build, template["Resources"]):
        _compile(package, mount)


def packages(build: Path, resources: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yields each package's folder in the build with its folder on Lambda."""
    for resource in resources.values():
        if resource["Type"] in MOUNTS:
            name, mount = MOUNTS[resource["Type"]]
            yield build / resource["Properties"][name], mount


def _check_version(runtime: str) -> None:
    running = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if runtime != running:
        raise UserError(f"The template's runtime is {runtime}, but this is {running}. Run the command with {runtime}.")


def _compile(package: Path, mount: str) -> None:
    # PYTHONPYCACHEPREFIX would move the compiled files out of the package.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # Unchecked, because SAM and Lambda change the modification times. Python then ignores later edits of the sources.
    # One process, so that the output is reproducible.
    options = ["-qq", "-f", "-j", "1", "--invalidation-mode", "unchecked-hash", "-s", str(package), "-p", mount]
    command = [sys.executable, "-m", "compileall", *options, str(package)]
    result = subprocess.run(command, env=environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False)
    # compileall exits with 1 if it skipped a module, and prints nothing with -qq. A crash also exits with 1.
    if result.returncode not in (0, 1) or "Traceback (most recent call last)" in result.stderr:
        raise UserError(f"compileall cannot compile {package} (exit code {result.returncode}).\n{result.stderr}")
