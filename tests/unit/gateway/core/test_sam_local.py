"""Under `sam local` the functions call the local AWS only."""

import socket
from collections.abc import Iterator

import boto3
import pytest

from gateway.core.aws_settings import AwsSettings
from gateway.core.errors import GatewayError
from gateway.core.sam_local import require_local_aws
from tests.scripted_server import ScriptedServer, always, answer

NO_TABLES = always(answer(body=b'{"TableNames": []}', content_type="application/x-amz-json-1.0"))
SAM_LOCAL = {"AWS_SAM_LOCAL": "true"}


@pytest.fixture(autouse=True)
def session() -> Iterator[None]:
    """Resets boto3's global default session after the test."""
    yield
    boto3.DEFAULT_SESSION = None


def list_tables(url: str | None) -> None:
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.list_tables()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_calls_a_running_local_aws() -> None:
    with ScriptedServer(NO_TABLES) as server:
        require_local_aws(AwsSettings.from_environ(SAM_LOCAL | {"AWS_ENDPOINT_URL": server.url}))
        list_tables(server.url)

        assert [request.headers["x-amz-target"] for request in server.requests] == ["DynamoDB_20120810.ListTables"]


def test_says_how_to_start_a_local_aws_that_does_not_run() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    require_local_aws(AwsSettings.from_environ(SAM_LOCAL | {"AWS_ENDPOINT_URL": url}))

    with pytest.raises(GatewayError, match=r"Start it with `make dev`"):
        list_tables(url)


@pytest.mark.parametrize("endpoint", [{}, {"AWS_ENDPOINT_URL": ""}])
def test_sends_nothing_to_the_real_aws_without_an_endpoint(endpoint: dict[str, str]) -> None:
    with ScriptedServer(NO_TABLES) as server:
        require_local_aws(AwsSettings.from_environ(SAM_LOCAL | endpoint))

        with pytest.raises(GatewayError, match=r"Start it with `make dev`"):
            list_tables(server.url)
        assert server.requests == []


def test_does_nothing_in_lambda() -> None:
    require_local_aws(AwsSettings.from_environ({}))

    assert boto3.DEFAULT_SESSION is None
