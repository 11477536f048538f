import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.local.settings import REPOSITORY, UserError
from tools.ops.deploy import (
    Account,
    build_options,
    deploy_options,
    endpoint_check,
    find_account,
    is_aws,
    is_local,
    retained_resources,
)
from tools.ops.environments import Environment

SAMCONFIG = Path("/project/samconfig.toml")
DEV = Environment("dev", SAMCONFIG, {"stack_name": "gateway-dev"}, ("dev",))
NEW = Environment("new", SAMCONFIG, {}, ())
NEW_WITH_REGION = Environment("new", SAMCONFIG, {"region": "us-east-1"}, ())
FOLDER = Path("/project/.local/deploy/dev")
TEMPLATE = FOLDER / "template.yaml"


@pytest.mark.parametrize(
    "url",
    [
        "https://cloudformation.eu-west-1.amazonaws.com",
        "https://sts.cn-north-1.amazonaws.com.cn",
        "https://vpce-1.sts.us-east-1.vpce.amazonaws.com",
    ],
)
def test_recognizes_endpoints_of_aws(url: str) -> None:
    assert is_aws(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4566", "http://localhost:4566", "https://amazonaws.com.evil.example"]
)
def test_rejects_other_endpoints(url: str) -> None:
    assert not is_aws(url)


def test_rehearsal_allows_local_endpoints_only(monkeypatch: pytest.MonkeyPatch) -> None:
    local, aws = "http://127.0.0.1:4566", "https://sts.us-east-1.amazonaws.com"
    monkeypatch.delenv("REHEARSE", raising=False)
    assert [endpoint_check()(url) for url in (local, aws)] == [False, True]
    monkeypatch.setenv("REHEARSE", "1")
    assert [endpoint_check()(url) for url in (local, aws, "http://127.0.0.1.evil.example")] == [True, False, False]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A shell without credentials of any kind."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


def test_reports_missing_credentials(shell: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^Cannot find the AWS account: Unable to locate credentials\nLog in"):
        find_account(NEW_WITH_REGION)


def test_rehearsal_without_a_local_aws_reports_what_to_set(shell: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^REHEARSE=1 allows the local AWS only, .* set AWS_ENDPOINT_URL"):
        find_account(NEW_WITH_REGION, is_allowed=is_local)


def test_reports_a_missing_region(shell: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^No region is set. Set AWS_REGION"):
        find_account(NEW)


def test_reports_an_unknown_profile_of_the_shell(shell: pytest.MonkeyPatch) -> None:
    shell.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(UserError, match=r"The config profile \(nobody\) could not be found"):
        find_account(NEW_WITH_REGION)


def test_reports_an_unknown_profile_of_samconfig(shell: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"The config profile \(stranger\) could not be found"):
        find_account(Environment("new", SAMCONFIG, {"region": "us-east-1", "profile": "stranger"}, ()))


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_rejects_other_endpoints_before_the_first_request(shell: pytest.MonkeyPatch, variable: str) -> None:
    shell.setenv(variable, "http://127.0.0.1:1")

    with pytest.raises(UserError, match=r"would be called at http://127.0.0.1:1, which is not AWS. Unset"):
        find_account(NEW_WITH_REGION)


def test_rejects_other_endpoints_in_the_aws_configuration(shell: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://localhost:4566\n")

    with pytest.raises(UserError, match=r"http://localhost:4566, which is not AWS"):
        find_account(NEW_WITH_REGION)


def test_build_options_name_folder_and_architecture() -> None:
    options = build_options(DEV, FOLDER)

    assert options[options.index("--build-dir") + 1] == str(FOLDER)
    assert options[-1] == "Architecture=arm64"


def test_guided_deployment_suggests_a_stack_name() -> None:
    options = deploy_options(NEW, TEMPLATE, region="us-east-1", guided=True, interactive=True)

    assert "--guided" in options
    assert options[options.index("--stack-name") + 1] == "tokenhub-gateway-new"
    assert options[options.index("--config-env") + 1] == "new"


def test_later_deployment_uses_samconfig() -> None:
    options = deploy_options(DEV, TEMPLATE, region="us-east-1", guided=False, interactive=True)

    assert options[options.index("--stack-name") + 1] == "gateway-dev"
    assert "--resolve-s3" in options
    assert not {"--guided", "--no-confirm-changeset"} & set(options)


def test_asks_nothing_without_a_terminal() -> None:
    assert "--no-confirm-changeset" in deploy_options(
        DEV, TEMPLATE, region="us-east-1", guided=False, interactive=False
    )


def test_keeps_a_configured_bucket() -> None:
    environment = Environment("dev", SAMCONFIG, {"stack_name": "dev", "s3_bucket": "mine"}, ())

    assert "--resolve-s3" not in deploy_options(
        environment, TEMPLATE, region="us-east-1", guided=False, interactive=False
    )


def resource(name: str, status: str = "CREATE_COMPLETE") -> dict[str, str]:
    return {"LogicalResourceId": name, "PhysicalResourceId": name.lower(), "ResourceStatus": status}


NAMES = ("ProvidersTable", "HeartbeatsTable", "RollUpsTable", "ProviderKeysKey", "LoggingRole")
DEPLOYED = [resource(name) for name in NAMES]
ROLLED_BACK = [
    resource("ProvidersTable", "DELETE_SKIPPED"),
    resource("ProviderKeysKey", "DELETE_COMPLETE"),
    {"LogicalResourceId": "RollUpsTable", "ResourceStatus": "CREATE_FAILED"},
]


@dataclass
class CloudFormation:
    """Lists the resources of a stack in two pages."""

    resources: list[dict[str, str]]

    def get_paginator(self, call: str) -> "CloudFormation":
        assert call == "list_stack_resources"
        return self

    def paginate(self, **arguments: str) -> Iterator[dict[str, Any]]:
        assert arguments == {"StackName": "dev"}
        for page in (self.resources[:2], self.resources[2:]):
            yield {"StackResourceSummaries": page}


@pytest.mark.parametrize(
    ("data", "resources", "retained"),
    [
        ("keep", DEPLOYED, {"ProvidersTable", "RollUpsTable", "ProviderKeysKey", "LoggingRole"}),
        ("throw-away", DEPLOYED, {"LoggingRole"}),
        ("keep", ROLLED_BACK, {"ProvidersTable"}),
    ],
    ids=["kept", "throw-away", "a failed first deployment"],
)
def test_deletion_retains_the_kept_registry_and_the_logging_role(
    data: str, resources: list[dict[str, str]], retained: set[str]
) -> None:
    stack = {"StackName": "dev", "Parameters": [{"ParameterKey": "Data", "ParameterValue": data}]}

    assert retained_resources(Account("1", "us-east-1", CloudFormation(resources)), stack).keys() == retained


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["local"], "ENV is not set. Set ENV=dev"),
        (["local", "--delete"], "ENV is not set. Set ENV=dev"),
        (["dev", "--delete"], "there is no terminal. Set YES=1"),
        (["dev"], "which is not AWS"),
    ],
)
def test_reports_errors_in_one_sentence(arguments: list[str], message: str) -> None:
    environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "tools.ops.deploy", *arguments]
    result = subprocess.run(
        command, cwd=REPOSITORY, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )

    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
