import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tools.local import aws
from tools.local.settings import UserError


@pytest.mark.parametrize("url", ["http://127.0.0.1:4566", "http://localhost:1", "http://[::1]:4566"])
def test_accepts_loopback_endpoints(url: str) -> None:
    assert aws.loopback(url) == url


@pytest.mark.parametrize(
    "url", ["", "http://10.0.0.1:4566", "https://dynamodb.us-east-1.amazonaws.com", "http://127.0.0.1.example.com:4566"]
)
def test_rejects_any_other_endpoint(url: str) -> None:
    with pytest.raises(UserError, match="is not a loopback URL"):
        aws.client("dynamodb", url)
    with pytest.raises(UserError, match="is not a loopback URL"):
        aws.environment(url, {})


def test_client_ignores_the_shells_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "real")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "https://example.com")
    # Another test may have made the session of this process before the variables were set.
    aws._session.cache_clear()

    client = aws.client("dynamodb", "http://127.0.0.1:1")

    assert client.meta.endpoint_url == "http://127.0.0.1:1"
    assert client.meta.region_name == "us-east-1"
    assert client._request_signer._credentials.access_key == "test"
    assert client.meta.config.proxies == {}


def test_threads_can_create_clients_at_the_same_time() -> None:
    aws._session.cache_clear()
    services = ["dynamodb", "ssm", "sts", "lambda"] * 4

    with ThreadPoolExecutor(len(services)) as threads:
        clients = list(threads.map(lambda service: aws.client(service, "http://127.0.0.1:1"), services))

    assert [client.meta.service_model.service_name for client in clients] == services


def test_environment_removes_the_shells_aws_settings() -> None:
    shell = {
        "PATH": "/bin", "HOME": "/home/me", "AWS_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "real",
        "AWS_SESSION_TOKEN": "real", "AWS_ENDPOINT_URL_S3": "https://example.com", "NO_PROXY": "intranet",
    }  # fmt: skip

    environment = aws.environment("http://127.0.0.1:4566", shell)

    assert environment["PATH"] == "/bin"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert environment["AWS_ACCESS_KEY_ID"] == environment["AWS_SECRET_ACCESS_KEY"] == "test"
    assert environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert environment["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"} & environment.keys()
