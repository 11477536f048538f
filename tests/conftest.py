"""Fixtures for all tests: a moto AWS account with the template's tables and a KMS key, and a rehearsal TokenHub."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.rehearsal import RunningTokenHub
from tests.template import ROOT, table

REGION = "us-east-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups the tests for `--dist loadgroup`: by file, except the integration tests, which share a local system."""
    for item in items:
        group = "integration" if item.path.is_relative_to(ROOT / "tests/integration") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@dataclass(frozen=True)
class Clients:
    """The boto3 session of all tests and the clients made from it."""

    session: boto3.Session
    dynamodb: Any
    kms: Any
    secrets: Any


@dataclass(frozen=True)
class Aws:
    """An AWS account with the three tables, the KMS key and the two token secrets."""

    providers: Any
    heartbeats: Any
    roll_ups: Any
    kms: Any
    key_arn: str
    secrets: Any
    admin_secret: str
    client_secret: str


@contextmanager
def aws_environment() -> Iterator[pytest.MonkeyPatch]:
    """Sets fake credentials and hides every other AWS setting of the developer's shell."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        environment.delenv("AWS_ENDPOINT_URL", raising=False)
        environment.delenv("AWS_PROFILE", raising=False)
        yield environment


@contextmanager
def moto_account(clients: Clients) -> Iterator[Aws]:
    """Starts an empty moto account and creates the tables, the key and the secrets.

    boto3's default session is the shared one, so that clients made by the code under test load no service model again.
    """
    with aws_environment() as environment, mock_aws():
        environment.setattr(boto3, "DEFAULT_SESSION", clients.session)
        create_table, create_secret = clients.dynamodb.create_table, clients.secrets.create_secret
        yield Aws(
            providers=create_table(TableName="providers", **table("ProvidersTable")),
            heartbeats=create_table(TableName="heartbeats", **table("HeartbeatsTable")),
            roll_ups=create_table(TableName="roll-ups", **table("RollUpsTable")),
            kms=clients.kms,
            key_arn=clients.kms.create_key()["KeyMetadata"]["Arn"],
            secrets=clients.secrets,
            admin_secret=create_secret(Name="admin", SecretString="admin-token")["ARN"],
            client_secret=create_secret(Name="client", SecretString="client-token")["ARN"],
        )


@pytest.fixture(scope="session")
def clients() -> Clients:
    """Made once: a session parses megabytes of service models for its first client of each service."""
    with aws_environment():
        session = boto3.Session()
        secrets = session.client("secretsmanager")
        return Clients(session, session.resource("dynamodb"), session.client("kms"), secrets)


@pytest.fixture
def aws(clients: Clients) -> Iterator[Aws]:
    with moto_account(clients) as account:
        yield account


@pytest.fixture(scope="module")
def module_aws(clients: Clients) -> Iterator[Aws]:
    """One AWS account per module: creating the tables and the key for each test takes longer than most tests."""
    with moto_account(clients) as account:
        yield account


@pytest.fixture(scope="session")
def running_tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as tokenhub:
        yield tokenhub


@pytest.fixture
def tokenhub(running_tokenhub: RunningTokenHub) -> RunningTokenHub:
    """The running TokenHub, reset: no faults and no recorded requests."""
    running_tokenhub.reset()
    return running_tokenhub
