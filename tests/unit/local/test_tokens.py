import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local import tokens
from local.settings import REPOSITORY, LocalError


class Aws:
    """CloudFormation and Secrets Manager of one stack."""

    def describe_stacks(self, **asked: str) -> dict[str, Any]:
        assert asked == {"StackName": "local"}
        outputs = [("AdminTokenSecret", "arn:admin"), ("ClientTokenSecret", "arn:client"), ("Url", "https://x")]
        return {"Stacks": [{"Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs]}]}

    def get_secret_value(self, **asked: str) -> dict[str, Any]:
        return {"SecretString": f"token of {asked['SecretId']}"}


@pytest.mark.parametrize("role", ["client", "admin"])
def test_each_role_has_its_own_token(role: str) -> None:
    assert tokens.read(Aws(), Aws(), "local", role) == f"token of arn:{role}"


def test_a_local_system_that_does_not_run_is_one_sentence() -> None:
    with pytest.raises(LocalError, match=r"does not run on http://127\.0\.0\.1:1: start it with `make dev`"):
        tokens.local_token("http://127.0.0.1:1", "client")


def test_an_unknown_environment_is_one_sentence_that_names_the_known(tmp_path: Path) -> None:
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text('version = 0.1\n[prod.global.parameters]\nstack_name = "gateway"\n')

    with pytest.raises(LocalError) as caught:
        tokens.deployed_token(samconfig, "staging", "client")

    assert str(caught.value) == "samconfig.toml names no stack for ENV=staging. It knows: local, prod."


def test_stack_and_region_of_an_environment_come_from_samconfig(tmp_path: Path) -> None:
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text(
        '[prod.global.parameters]\nstack_name = "one"\nregion = "eu-west-1"\n'
        '[prod.deploy.parameters]\nstack_name = "two"\n'
    )

    assert tokens._stack(samconfig, "prod") == ("two", "eu-west-1")


def test_trouble_goes_to_standard_error_only() -> None:
    command = [sys.executable, "-m", "local.tokens", "admin"]
    ended = subprocess.run(
        command, env={"AWS_PORT": "1"}, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30
    )

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("The local system does not run")
    assert "Traceback" not in ended.stderr
