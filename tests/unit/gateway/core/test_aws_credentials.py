import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import NoCredentialsError

from gateway.core.aws_api import credentials_of
from tests.scripted_server import ScriptedServer, answer, in_turn

ENVIRON = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_credentials_of_the_environment_include_the_session_token() -> None:
    credentials = credentials_of(ENVIRON | {"AWS_SESSION_TOKEN": "token"})()

    assert (credentials.access_key, credentials.secret_key, credentials.token) == ("key", "secret", "token")


def test_an_empty_session_token_counts_as_none() -> None:
    assert credentials_of(ENVIRON | {"AWS_SESSION_TOKEN": ""})().token is None


def credentials_response(key: str, expires_in: timedelta) -> bytes:
    expiration = (datetime.now(UTC) + expires_in).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"AccessKeyId": key, "SecretAccessKey": "secret", "Token": "token", "Expiration": expiration}
    return answer(body=json.dumps(body).encode())


@pytest.fixture
def snapstart(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without credentials in its variables."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "local-token")
    return monkeypatch


def test_credentials_of_snapstart_are_renewed_from_its_local_url(snapstart: pytest.MonkeyPatch) -> None:
    answers = [(credentials_response(f"key-{n}", timedelta(minutes=m)),) for n, m in ((1, 5), (2, 5), (3, 600))]
    with ScriptedServer(in_turn(*answers)) as server:
        snapstart.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/credentials")
        credentials = credentials_of({"AWS_REGION": "us-east-1"})
        assert server.requests == []
        # The first ones expire so soon that botocore renews them at once.
        keys = [credentials().access_key for _ in range(3)]

    assert keys[-1] == "key-3"
    assert (credentials().secret_key, credentials().token) == ("secret", "token")
    assert {request.headers["authorization"] for request in server.requests} == {"local-token"}


def test_missing_credentials_raise_botocores_error(snapstart: pytest.MonkeyPatch) -> None:
    snapstart.setenv("AWS_EC2_METADATA_DISABLED", "true")
    snapstart.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    snapstart.setenv("AWS_CONFIG_FILE", "/nonexistent")

    with pytest.raises(NoCredentialsError):
        credentials_of({"AWS_REGION": "us-east-1"})()
