from dataclasses import fields
from typing import Any

import pytest

from gateway.core.settings import Limits, Settings
from tests.template import template

NAMES = {
    "admin_token_secret": "ADMIN_TOKEN_SECRET",
    "client_token_secret": "CLIENT_TOKEN_SECRET",
    "heartbeat_function": "HEARTBEAT_FUNCTION",
    "heartbeats_table": "HEARTBEATS_TABLE",
    "keys_key": "KEYS_KEY",
    "providers_table": "PROVIDERS_TABLE",
    "log_level": "LOG_LEVEL",
    "metrics_namespace": "METRICS_NAMESPACE",
}


def properties() -> set[str]:
    return {name for name, value in vars(Settings).items() if isinstance(value, property)}


def declared() -> set[str]:
    """The variables of all functions in the template."""
    parsed: dict[str, Any] = template()
    functions = [each for each in parsed["Resources"].values() if each["Type"] == "AWS::Serverless::Function"]
    blocks = [parsed["Globals"]["Function"], *(function["Properties"] for function in functions)]
    return {name for block in blocks for name in block.get("Environment", {}).get("Variables", {})}


@pytest.mark.parametrize(("name", "variable"), NAMES.items())
def test_a_setting_is_a_variable_and_a_missing_one_is_named(name: str, variable: str) -> None:
    assert getattr(Settings({variable: "value"}), name) == "value"
    with pytest.raises(KeyError, match=variable):
        getattr(Settings({}), name)


def test_every_setting_is_tested() -> None:
    others = {"private_networks", "local", "limits", "history_days", "sam_local", "aws_endpoint_url", "loopback_host"}
    others |= {"allowed_origins"}
    assert properties() == NAMES.keys() | others


def test_the_template_declares_every_variable_that_has_to_be_there() -> None:
    assert set(NAMES.values()) | {"ALLOWED_ORIGINS", "PRIVATE_NETWORKS", "PLATFORM", "HISTORY_DAYS"} <= declared()


@pytest.mark.parametrize(("value", "allowed"), [("allow", True), ("refuse", False), ("true", False), ("", False)])
def test_private_networks_are_allowed_by_that_word_only(value: str, allowed: bool) -> None:
    assert Settings({"PRIVATE_NETWORKS": value}).private_networks is allowed


def test_allowed_origins_are_a_comma_list_and_none_is_none() -> None:
    assert Settings({"ALLOWED_ORIGINS": "https://a,https://b"}).allowed_origins == {"https://a", "https://b"}
    assert Settings({"ALLOWED_ORIGINS": ""}).allowed_origins == frozenset()


@pytest.mark.parametrize(("value", "local"), [("local", True), ("aws", False), ("LOCAL", False)])
def test_the_local_system_is_known_by_its_platform(value: str, local: bool) -> None:
    assert Settings({"PLATFORM": value}).local is local


def test_the_days_of_history_are_a_number() -> None:
    assert Settings({"HISTORY_DAYS": "30"}).history_days == 30


def test_nothing_is_read_before_it_is_asked_for() -> None:
    Settings({})


def test_the_limits_lie_around_tokenhubs_own() -> None:
    limits = Settings({}).limits
    assert limits == Limits(connect=5, first_byte=130, stream_idle=60, whole=295, keep_alive=15)
    assert limits.connect < limits.stream_idle < 120 < limits.first_byte < limits.whole < 300


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_each_limit_can_be_set_in_seconds(name: str) -> None:
    variable = f"{name.upper()}_SECONDS"
    assert getattr(Settings({variable: "0.5"}).limits, name) == 0.5
    assert Settings({variable: ""}).limits == Limits()


BRIDGE = {"AWS_ENDPOINT_URL": "http://172.17.0.1:4566/ProvidersFunction"}


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        (BRIDGE | {"AWS_SAM_LOCAL": "true"}, "172.17.0.1"),
        (BRIDGE | {"AWS_SAM_LOCAL": "false"}, None),
        (BRIDGE, None),
        ({"AWS_ENDPOINT_URL": "", "AWS_SAM_LOCAL": "true"}, None),
        ({}, None),
    ],
)
def test_loopback_is_the_host_under_sam_local_and_itself_anywhere_else(
    environ: dict[str, str], host: str | None
) -> None:
    assert Settings(environ).loopback_host == host
