"""What SAM takes from samconfig.toml, with `--config-env` and without."""

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
PROCESSOR = ".local/architecture--start-make-dev-first.toml"


def made(folder: Path, path: str = os.environ["PATH"]) -> str:
    """The architecture that `make` writes into `folder` before anything else."""
    environ = os.environ | {"PATH": path}
    subprocess.run(["make", "-s", "-f", str(ROOT / "Makefile"), PROCESSOR], cwd=folder, env=environ, check=True)
    return str(tomllib.loads((folder / PROCESSOR).read_text())["Architecture"])


def test_every_command_is_for_this_machines_processor() -> None:
    assert DEFAULT["global"]["parameters"]["parameter_overrides"] == f"file://{PROCESSOR}"
    assert DEFAULT["local_start_api"]["parameters"]["parameter_overrides"][0] == f"file://{PROCESSOR}"


def test_make_writes_it_down_with_the_tools_that_sam_is_one_of() -> None:
    [rule] = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".local/ready:")]

    assert rule.endswith("| $(architecture)")


def test_it_is_the_processor_that_make_dev_builds_for(tmp_path: Path) -> None:
    assert made(tmp_path) == stack.architecture()


@pytest.mark.parametrize(("machine", "named"), [("arm64", "arm64"), ("aarch64", "arm64"), ("x86_64", "x86_64")])
def test_it_is_named_as_lambda_names_it(tmp_path: Path, machine: str, named: str) -> None:
    uname = tmp_path / "bin" / "uname"
    uname.parent.mkdir()
    uname.write_text(f"#!/bin/sh\necho {machine}\n")
    uname.chmod(0o755)

    assert made(tmp_path, f"{uname.parent}{os.pathsep}{os.environ['PATH']}") == named


@pytest.mark.parametrize("command", ["local_start_api", "local_invoke"])
def test_sam_local_takes_the_running_systems_variables(command: str) -> None:
    assert DEFAULT[command]["parameters"]["env_vars"] == f".local/{container_access.LINK.format('env.json')}"


def test_the_environment_local_is_the_default_by_its_name() -> None:
    assert SAMCONFIG["local"] == DEFAULT


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize("command", [["start-api"], ["invoke", "ProvidersFunction"]], ids=" ".join)
def test_sam_local_refuses_an_environment_of_aws_in_one_sentence(environment: str, command: list[str]) -> None:
    sam = [sys.executable, "-m", "samcli", "local", *command, "--config-env", environment]
    ended = subprocess.run(sam, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode != 0
    assert "sam local is for the environments default and local" in " ".join(ended.stderr.split())


def parameters(environment: str) -> dict[str, str]:
    chosen = SAMCONFIG[environment]["global"]["parameters"]["parameter_overrides"]
    return dict(pair.split("=") for pair in chosen.split())


def test_prod_keeps_its_registry_and_dev_is_for_trying() -> None:
    assert (parameters("prod")["Data"], parameters("dev")["Data"]) == ("keep", "throw-away")
    assert SAMCONFIG["prod"]["deploy"]["parameters"]["confirm_changeset"] is True


def test_two_environments_of_one_account_do_not_mix() -> None:
    stacks = {SAMCONFIG[environment]["global"]["parameters"]["stack_name"] for environment in ("dev", "prod")}

    assert len(stacks) == 2
    assert parameters("dev")["MetricsNamespace"] != parameters("prod").get("MetricsNamespace", "TokenHubGateway")
