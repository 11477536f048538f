"""Fixtures for all tests: a moto AWS account with the template's tables and a KMS key, and a rehearsal TokenHub."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws
from xdist.scheduler import LoadFileScheduling

from tests.rehearsal import RunningTokenHub
from tests.template import table

INTEGRATION = "tests/integration/"
REGION = "us-east-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}


class IntegrationTogether(LoadFileScheduling):  # type: ignore[misc]
    """Runs each test file in one worker, and all integration tests in one, because they share a local system.

    The mark xdist_group cannot say this: with pytest 9.2.0, pytest-xdist 3.8.0 ignores it without a warning
    (https://github.com/pytest-dev/pytest-xdist/issues/1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        return INTEGRATION if nodeid.startswith(INTEGRATION) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> IntegrationTogether | None:
    return IntegrationTogether(config, log) if config.getvalue("dist") == "loadfile" else None


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
