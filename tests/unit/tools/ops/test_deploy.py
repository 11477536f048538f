import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.local.settings import REPOSITORY, LocalError
from tools.ops.deploy import (
    Account,
    account,
    build_options,
    deploy_options,
    expected_endpoint,
    is_aws,
    is_this_machine,
    stays,
)
from tools.ops.environments import Environment

SAMCONFIG = Path("/project/samconfig.toml")
DEV = Environment("dev", SAMCONFIG, {"stack_name": "gateway-dev"}, ("dev",))
NEW = Environment("new", SAMCONFIG, {}, ())
SOMEWHERE = Environment("new", SAMCONFIG, {"region": "us-east-1"}, ())
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
def test_endpoints_of_aws_are_known(url: str) -> None:
    assert is_aws(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4566", "http://localhost:4566", "https://amazonaws.com.evil.example"]
)
def test_other_endpoints_are_not(url: str) -> None:
    assert not is_aws(url)


def test_a_rehearsal_reaches_this_machine_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    here, aws = "http://127.0.0.1:4566", "https://sts.us-east-1.amazonaws.com"
    monkeypatch.delenv("REHEARSE", raising=False)
    assert [expected_endpoint()(url) for url in (here, aws)] == [False, True]
    monkeypatch.setenv("REHEARSE", "1")
    assert [expected_endpoint()(url) for url in (here, aws, "http://127.0.0.1.evil.example")] == [True, False, False]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A shell without credentials of any kind."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


def test_no_credentials_are_told_in_words(shell: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalError, match=r"^No AWS account answers: Unable to locate credentials\nLog in"):
        account(SOMEWHERE)


def test_a_rehearsal_without_a_local_aws_says_what_to_set(shell: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalError, match=r"^REHEARSE=1 reaches a local AWS only, .* set AWS_ENDPOINT_URL"):
        account(SOMEWHERE, expected=is_this_machine)


def test_no_region_is_told_in_words(shell: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalError, match=r"^Which region\? Set AWS_REGION"):
        account(NEW)


def test_an_unknown_profile_of_the_shell_is_told_in_words(shell: pytest.MonkeyPatch) -> None:
    shell.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(LocalError, match=r"The config profile \(nobody\) could not be found"):
        account(SOMEWHERE)


def test_an_unknown_profile_of_samconfig_is_told_in_words(shell: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalError, match=r"The config profile \(stranger\) could not be found"):
        account(Environment("new", SAMCONFIG, {"region": "us-east-1", "profile": "stranger"}, ()))


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_that_is_not_aws_is_refused_before_anything_is_asked(
    shell: pytest.MonkeyPatch, variable: str
) -> None:
    shell.setenv(variable, "http://127.0.0.1:1")

    with pytest.raises(LocalError, match=r"would be called at http://127.0.0.1:1, which is not AWS. Unset"):
        account(SOMEWHERE)


def test_an_endpoint_in_the_aws_configuration_is_refused_too(shell: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://localhost:4566\n")

    with pytest.raises(LocalError, match=r"http://localhost:4566, which is not AWS"):
        account(SOMEWHERE)


def test_the_build_has_a_folder_and_a_processor_of_its_own() -> None:
    options = build_options(DEV, FOLDER)

    assert options[options.index("--build-dir") + 1] == str(FOLDER)
    assert options[-1] == "Architecture=arm64"


def test_the_first_time_in_a_terminal_is_guided_and_offers_a_name_for_the_stack() -> None:
    options = deploy_options(NEW, TEMPLATE, region="us-east-1", guided=True, terminal=True)

    assert "--guided" in options
    assert options[options.index("--stack-name") + 1] == "tokenhub-gateway-new"
    assert options[options.index("--config-env") + 1] == "new"


def test_afterwards_it_takes_what_samconfig_says() -> None:
    options = deploy_options(DEV, TEMPLATE, region="us-east-1", guided=False, terminal=True)

    assert options[options.index("--stack-name") + 1] == "gateway-dev"
    assert "--resolve-s3" in options
    assert not {"--guided", "--no-confirm-changeset"} & set(options)


def test_where_nobody_can_answer_nothing_is_asked() -> None:
    assert "--no-confirm-changeset" in deploy_options(DEV, TEMPLATE, region="us-east-1", guided=False, terminal=False)


def test_a_bucket_that_was_chosen_is_kept() -> None:
    chosen = Environment("dev", SAMCONFIG, {"stack_name": "dev", "s3_bucket": "mine"}, ())

    assert "--resolve-s3" not in deploy_options(chosen, TEMPLATE, region="us-east-1", guided=False, terminal=False)


class Formation:
    """CloudFormation with one stack that made all that may stay, told in two pages."""

    def get_paginator(self, call: str) -> "Formation":
        assert call == "list_stack_resources"
        return self

    def paginate(self, **asked: str) -> Iterator[dict[str, Any]]:
        assert asked == {"StackName": "dev"}
        for page in (("ProvidersTable", "HeartbeatsTable"), ("ProviderKeysKey", "LoggingRole")):
            made = [{"LogicalResourceId": name, "PhysicalResourceId": name.lower()} for name in page]
            yield {"StackResourceSummaries": made}


@pytest.mark.parametrize(
    ("data", "kept"),
    [("keep", {"ProvidersTable", "ProviderKeysKey", "LoggingRole"}), ("throw-away", {"LoggingRole"})],
)
def test_what_a_delete_leaves_is_the_registry_that_is_kept_and_the_accounts_logging_role(
    data: str, kept: set[str]
) -> None:
    stack = {"StackName": "dev", "Parameters": [{"ParameterKey": "Data", "ParameterValue": data}]}

    assert stays(Account("1", "us-east-1", Formation()), stack).keys() == kept


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["local"], "Which environment? Say ENV=dev"),
        (["local", "--delete"], "Which environment? Say ENV=dev"),
        (["dev", "--delete"], "Nobody is there to ask. YES=1"),
        (["dev"], "which is not AWS"),
    ],
)
def test_trouble_is_one_sentence(arguments: list[str], words: str) -> None:
    environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "tools.ops.deploy", *arguments]
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
