from pathlib import Path

import pytest

from tools.local.settings import REPOSITORY, Settings, UserError


def test_has_the_documented_defaults() -> None:
    settings = Settings.from_environ({"PORT": "", "AUTH": ""})

    assert (settings.port, settings.aws_port, settings.tokenhub_port) == (8080, 4566, 8090)
    assert settings.state == REPOSITORY / ".local" / "state"
    assert settings.local_token
    assert settings.tokenhub
    assert settings.auth
    assert settings.stop_with_pid is None


def test_reads_every_variable() -> None:
    settings = Settings.from_environ({
        "PORT": "1", "AWS_PORT": "2", "TOKENHUB_PORT": "3", "STATE": "elsewhere", "LOCAL_TOKEN": "off",
        "TOKENHUB": "off", "AUTH": "false", "STOP_WITH": "77", "PARAMETERS": "LogLevel=DEBUG  WholeSeconds=",
        "STREAMS": "3",
    })  # fmt: skip

    parameters = {"LogLevel": "DEBUG", "WholeSeconds": ""}
    assert settings == Settings(1, 2, 3, Path("elsewhere").absolute(), False, False, False, 77, parameters, 3)
    assert settings.url == "http://localhost:1"
    assert settings.aws_url == "http://127.0.0.1:2"
    assert settings.tokenhub_url == "http://localhost:3"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "PORT must be a number, not 'http'."),
        ("AWS_PORT", "65536", "AWS_PORT must be between 1 and 65535, not 65536."),
        ("TOKENHUB_PORT", "0", "TOKENHUB_PORT must be between 1 and 65535, not 0."),
        ("STREAMS", "0", "STREAMS must be at least 1, not 0."),
        ("LOCAL_TOKEN", "no", "LOCAL_TOKEN must be on or off, not 'no'."),
        ("AUTH", "on", "AUTH must be true or false, not 'on'."),
        ("PARAMETERS", "LogLevel", "PARAMETERS must have the form NAME=VALUE NAME=VALUE, not 'LogLevel'."),
    ],
)
def test_invalid_value_names_the_variable(name: str, value: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        Settings.from_environ({name: value})

    assert str(caught.value) == message
