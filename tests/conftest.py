"""What every test may use: a moto AWS with the template's tables and a KMS key, and a rehearsal TokenHub."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.rehearsal import RunningTokenHub
from tests.template import table

REGION = "us-east-1"


@dataclass(frozen=True)
class Aws:
    """A fresh account: the two tables, the key, the two tokens."""

    providers: Any
    heartbeats: Any
    kms: Any
    key_arn: str
    secrets: Any
    admin_secret: str
    client_secret: str


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        dynamodb = boto3.resource("dynamodb")
        kms = boto3.client("kms")
        secrets = boto3.client("secretsmanager")
        yield Aws(
            providers=dynamodb.create_table(TableName="providers", **table("ProvidersTable")),
            heartbeats=dynamodb.create_table(TableName="heartbeats", **table("HeartbeatsTable")),
            kms=kms,
            key_arn=kms.create_key()["KeyMetadata"]["Arn"],
            secrets=secrets,
            admin_secret=secrets.create_secret(Name="admin", SecretString="admin-token")["ARN"],
            client_secret=secrets.create_secret(Name="client", SecretString="client-token")["ARN"],
        )


@pytest.fixture(scope="session")
def running_tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as tokenhub:
        yield tokenhub


@pytest.fixture
def tokenhub(running_tokenhub: RunningTokenHub) -> RunningTokenHub:
    """One that behaves, and that nobody has asked anything."""
    running_tokenhub.reset()
    return running_tokenhub
