import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.local.settings import REPOSITORY, LocalError
from tools.ops import tokens


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
    assert tokens.read(tokens.Clients(Aws(), Aws(), "local"), role) == f"token of arn:{role}"


def test_a_local_system_that_does_not_run_is_one_sentence() -> None:
    with pytest.raises(LocalError, match=r"does not run on http://127\.0\.0\.1:1: start it with `make dev`"):
        tokens.local_token("http://127.0.0.1:1", "client")


def test_an_unknown_environment_is_one_sentence_that_names_the_known(tmp_path: Path) -> None:
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text('version = 0.1\n[prod.global.parameters]\nstack_name = "gateway"\n')

    with pytest.raises(LocalError) as caught:
        tokens.deployed(samconfig, "staging")

    assert str(caught.value) == "samconfig.toml names no stack for ENV=staging. It knows: local, prod."


def test_a_missing_region_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text('version = 0.1\n[prod.global.parameters]\nstack_name = "gateway"\n')
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(LocalError, match=r"^Which region\? Set AWS_REGION, or `region` of prod"):
        tokens.deployed(samconfig, "prod")


def test_a_profile_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text('version = 0.1\n[prod.deploy.parameters]\nstack_name = "gateway"\nprofile = "stranger"\n')

    with pytest.raises(LocalError, match=r"^The tokens of the stack gateway .* \(stranger\) could not be found"):
        tokens.deployed(samconfig, "prod")


def test_trouble_goes_to_standard_error_only() -> None:
    command = [sys.executable, "-m", "tools.ops.tokens", "admin"]
    ended = subprocess.run(
        command, env={"AWS_PORT": "1"}, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30
    )

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("The local system does not run")
    assert "Traceback" not in ended.stderr
