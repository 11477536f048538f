import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.local.settings import REPOSITORY, UserError
from tools.ops import tokens


class Aws:
    """CloudFormation and Secrets Manager with one stack."""

    def describe_stacks(self, **arguments: str) -> dict[str, Any]:
        assert arguments == {"StackName": "local"}
        outputs = [("AdminTokenSecret", "arn:admin"), ("ClientTokenSecret", "arn:client"), ("Url", "https://x")]
        return {"Stacks": [{"Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs]}]}

    def get_secret_value(self, **arguments: str) -> dict[str, Any]:
        return {"SecretString": f"token of {arguments['SecretId']}"}


@pytest.mark.parametrize("role", ["client", "admin"])
def test_reads_the_token_of_each_role(role: str) -> None:
    assert tokens.read_token(tokens.StackClients(Aws(), Aws(), "local"), role) == f"token of arn:{role}"


def test_reports_a_stopped_local_system() -> None:
    with pytest.raises(UserError, match=r"is not running at http://127\.0\.0\.1:1. Start it with `make dev`"):
        tokens.local_token("http://127.0.0.1:1", "client")


def test_unknown_environment_error_lists_the_known_ones(tmp_path: Path) -> None:
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text('version = 0.1\n[prod.global.parameters]\nstack_name = "gateway"\n')

    with pytest.raises(UserError) as caught:
        tokens.deployed_stack(samconfig, "staging")

    assert str(caught.value) == "samconfig.toml has no stack_name for ENV=staging. Use one of: local, prod."


def test_reports_a_missing_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text('version = 0.1\n[prod.global.parameters]\nstack_name = "gateway"\n')
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(UserError, match=r"^No region is set. Set AWS_REGION, or `region` of prod"):
        tokens.deployed_stack(samconfig, "prod")


def test_reports_an_unknown_profile(tmp_path: Path) -> None:
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text('version = 0.1\n[prod.deploy.parameters]\nstack_name = "gateway"\nprofile = "stranger"\n')

    with pytest.raises(UserError, match=r"^The tokens of the stack gateway .* \(stranger\) could not be found"):
        tokens.deployed_stack(samconfig, "prod")


def test_prints_errors_to_standard_error_only() -> None:
    command = [sys.executable, "-m", "tools.ops.tokens", "admin"]
    result = subprocess.run(
        command, env={"AWS_PORT": "1"}, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30
    )

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("The local AWS is not running")
    assert "Traceback" not in result.stderr
