"""The settings that SAM reads from samconfig.toml, with and without `--config-env`."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.template import ROOT
from tools.local import stack
from tools.local.sam_local import container_access

SAMCONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
DEFAULT = SAMCONFIG["default"]
ARCHITECTURE_FILE = ".local/architecture--start-make-dev-first.toml"


def made_architecture(folder: Path, path: str = os.environ["PATH"]) -> str:
    """The architecture that `make` writes to its file in `folder`."""
    environ = os.environ | {"PATH": path}
    subprocess.run(["make", "-s", "-f", str(ROOT / "Makefile"), ARCHITECTURE_FILE], cwd=folder, env=environ, check=True)
    return str(tomllib.loads((folder / ARCHITECTURE_FILE).read_text())["Architecture"])


def test_default_commands_use_this_machines_architecture() -> None:
    assert DEFAULT["global"]["parameters"]["parameter_overrides"] == f"file://{ARCHITECTURE_FILE}"
    assert DEFAULT["local_start_api"]["parameters"]["parameter_overrides"][0] == f"file://{ARCHITECTURE_FILE}"


def test_make_writes_the_architecture_file_with_the_tools() -> None:
    [rule] = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".local/ready:")]

    assert rule.endswith("| $(architecture)")


def test_architecture_file_matches_make_dev(tmp_path: Path) -> None:
    assert made_architecture(tmp_path) == stack.architecture()


@pytest.mark.parametrize(("machine", "expected"), [("arm64", "arm64"), ("aarch64", "arm64"), ("x86_64", "x86_64")])
def test_architecture_has_lambdas_name(tmp_path: Path, machine: str, expected: str) -> None:
    uname = tmp_path / "bin" / "uname"
    uname.parent.mkdir()
    uname.write_text(f"#!/bin/sh\necho {machine}\n")
    uname.chmod(0o755)

    assert made_architecture(tmp_path, f"{uname.parent}{os.pathsep}{os.environ['PATH']}") == expected


@pytest.mark.parametrize("command", ["local_start_api", "local_invoke"])
def test_sam_local_reads_the_running_systems_variables(command: str) -> None:
    assert DEFAULT[command]["parameters"]["env_vars"] == f".local/{container_access.LINK.format('env.json')}"


def test_environment_local_equals_default() -> None:
    assert SAMCONFIG["local"] == DEFAULT


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize("command", [["start-api"], ["invoke", "ProvidersFunction"]], ids=" ".join)
def test_sam_local_rejects_aws_environments(environment: str, command: list[str]) -> None:
    sam = [sys.executable, "-m", "samcli", "local", *command, "--config-env", environment]
    process = subprocess.run(sam, cwd=ROOT, capture_output=True, text=True, check=False)

    assert process.returncode != 0
    assert "sam local works only with --config-env default or local" in " ".join(process.stderr.split())


def parameters(environment: str) -> dict[str, str]:
    chosen = SAMCONFIG[environment]["global"]["parameters"]["parameter_overrides"]
    return dict(pair.split("=") for pair in chosen.split())


def test_prod_retains_data_and_dev_does_not() -> None:
    assert (parameters("prod")["Data"], parameters("dev")["Data"]) == ("keep", "throw-away")
    assert SAMCONFIG["prod"]["deploy"]["parameters"]["confirm_changeset"] is True


def test_environments_have_separate_stacks_and_metrics() -> None:
    stacks = {SAMCONFIG[environment]["global"]["parameters"]["stack_name"] for environment in ("dev", "prod")}

    assert len(stacks) == 2
    assert parameters("dev")["MetricsNamespace"] != parameters("prod").get("MetricsNamespace", "TokenHubGateway")
