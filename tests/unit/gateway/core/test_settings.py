import re
from dataclasses import fields
from typing import Any

import pytest

from gateway.api.settings import ProvidersSettings
from gateway.core.aws_settings import AuthorizerSettings, AwsSettings
from gateway.core.settings import InvalidSettings, PreflightSettings, Settings
from gateway.heartbeat.settings import HeartbeatFunctionSettings
from gateway.proxy.settings import CompletionsSettings, Limits

FUNCTIONS: tuple[type[Settings], ...] = (
    AuthorizerSettings,
    CompletionsSettings,
    HeartbeatFunctionSettings,
    PreflightSettings,
    ProvidersSettings,
)
ENVIRON = {
    "ADMIN_TOKEN_SECRET": "admin",
    "ALLOWED_ORIGINS": "",
    "CLIENT_TOKEN_SECRET": "client",
    "HEARTBEAT_FUNCTION": "heartbeat",
    "HEARTBEATS_TABLE": "heartbeats",
    "HISTORY_DAYS": "7",
    "KEYS_KEY": "key",
    "LOG_LEVEL": "INFO",
    "METRICS_NAMESPACE": "TokenHubGateway",
    "PLATFORM": "aws",
    "PRIVATE_NETWORKS": "refuse",
    "PROVIDERS_TABLE": "providers",
    "ROLL_UPS_TABLE": "roll-ups",
}
REQUIRED = {
    AuthorizerSettings: {"ADMIN_TOKEN_SECRET", "CLIENT_TOKEN_SECRET"},
    CompletionsSettings: ENVIRON.keys()
    - {"ADMIN_TOKEN_SECRET", "CLIENT_TOKEN_SECRET", "HEARTBEAT_FUNCTION", "HEARTBEATS_TABLE", "HISTORY_DAYS"}
    - {"ROLL_UPS_TABLE"},
    HeartbeatFunctionSettings: ENVIRON.keys()
    - {"ADMIN_TOKEN_SECRET", "ALLOWED_ORIGINS", "CLIENT_TOKEN_SECRET", "HEARTBEAT_FUNCTION"},
    PreflightSettings: {"ALLOWED_ORIGINS", "LOG_LEVEL"},
    ProvidersSettings: ENVIRON.keys() - {"ADMIN_TOKEN_SECRET", "CLIENT_TOKEN_SECRET", "METRICS_NAMESPACE"},
}


def providers(**changes: str) -> ProvidersSettings:
    return ProvidersSettings.from_environ(ENVIRON | changes)


def completions(**changes: str) -> CompletionsSettings:
    return CompletionsSettings.from_environ(ENVIRON | changes)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_names_every_missing_variable_in_one_error(function: type[Settings]) -> None:
    with pytest.raises(InvalidSettings) as raised:
        function.from_environ({})

    assert set(re.findall(r"([A-Z_]+) \(", str(raised.value))) == REQUIRED[function]


def test_names_every_invalid_variable_and_never_its_value() -> None:
    with pytest.raises(InvalidSettings) as raised:
        providers(HISTORY_DAYS="some-secret", PLATFORM="some-secret", KEYS_KEY="", PRIVATE_NETWORKS="some-secret")

    message = str(raised.value)
    assert "HISTORY_DAYS (a whole number from 1)" in message
    assert "PLATFORM (aws or local)" in message
    assert "KEYS_KEY (text that is not empty)" in message
    assert "PRIVATE_NETWORKS (allow or refuse)" in message
    assert "PROVIDERS_TABLE" not in message
    assert "some-secret" not in message
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in ("admin_token_secret", "client_token_secret")
        for value in ("arn:aws:secretsmanager:us-east-1:123456789012:secret:a", "other")
    ],
)
def test_reads_the_secrets_of_the_authorizer(name: str, value: str) -> None:
    assert getattr(AuthorizerSettings.from_environ(ENVIRON | {name.upper(): value}), name) == value


@pytest.mark.parametrize(
    "name", ["heartbeat_function", "heartbeats_table", "keys_key", "log_level", "providers_table", "roll_ups_table"]
)
def test_reads_text_from_the_variable_of_the_same_name(name: str) -> None:
    assert getattr(providers(), name) == ENVIRON[name.upper()]


def test_reads_the_namespace_of_the_metrics() -> None:
    assert completions().metrics_namespace == "TokenHubGateway"


@pytest.mark.parametrize(("value", "allowed"), [("allow", True), ("refuse", False)])
def test_reads_whether_private_networks_are_allowed(value: str, allowed: bool) -> None:
    assert providers(PRIVATE_NETWORKS=value).private_networks is allowed


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PRIVATE_NETWORKS", "true"),
        ("PRIVATE_NETWORKS", ""),
        ("PLATFORM", "LOCAL"),
        ("LOG_LEVEL", "DEBUG"),
        ("HISTORY_DAYS", "0"),
        ("HISTORY_DAYS", "1.5"),
        ("KEYS_KEY", ""),
    ],
)
def test_rejects_invalid_values(variable: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=variable):
        providers(**{variable: value})


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_rejects_limits_that_are_not_seconds(value: str) -> None:
    with pytest.raises(InvalidSettings, match=r"CONNECT_SECONDS \(a number from 0\)"):
        completions(CONNECT_SECONDS=value)


def test_reads_allowed_origins_as_a_comma_list_that_may_be_empty() -> None:
    assert providers(ALLOWED_ORIGINS="https://a,https://b").allowed_origins == {"https://a", "https://b"}
    assert providers(ALLOWED_ORIGINS="").allowed_origins == frozenset()


@pytest.mark.parametrize(("value", "local"), [("local", True), ("aws", False)])
def test_reads_whether_the_platform_is_local(value: str, local: bool) -> None:
    assert providers(PLATFORM=value).local is local


def test_reads_the_days_of_history_as_a_number() -> None:
    assert providers(HISTORY_DAYS="30").history_days == 30


def test_default_limits_lie_around_tokenhubs_own() -> None:
    limits = completions().limits
    assert limits == Limits(connect=5, first_byte=130, stream_idle=60, whole=295, keep_alive=15)
    assert limits.connect < limits.stream_idle < 120 < limits.first_byte < limits.whole < 300


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_reads_each_limit_in_seconds(name: str) -> None:
    variable = f"{name.upper()}_SECONDS"
    assert getattr(completions(**{variable: "0.5"}).limits, name) == 0.5
    assert completions(**{variable: ""}).limits == Limits()


def test_heartbeats_wait_for_a_connection_as_long_as_requests() -> None:
    settings = HeartbeatFunctionSettings.from_environ(ENVIRON | {"CONNECT_SECONDS": "2", "WHOLE_SECONDS": "9"})

    assert settings.limits == Limits(connect=2)


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
def test_replaces_loopback_by_the_host_under_sam_local_only(environ: dict[str, Any], host: str | None) -> None:
    assert AwsSettings.from_environ(environ).loopback_host == host
