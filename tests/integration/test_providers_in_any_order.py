"""Runs the registry's state machine on the local AWS, whose transactions really conflict, in separate tables."""

import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.local_system import LocalSystem
from tests.registry_machine import RegistryMachine
from tests.template import table
from tools.local.aws import CREDENTIALS
from tools.local.settings import REGION


@pytest.fixture
def dynamodb(system: LocalSystem, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in (CREDENTIALS | {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": system.aws_url}).items():
        monkeypatch.setenv(name, value)
    return boto3.resource("dynamodb")


@pytest.fixture
def tables(dynamodb: Any) -> Iterator[list[Any]]:
    made = [
        dynamodb.create_table(TableName=f"{name}-{uuid.uuid4().hex}", **table(name))
        for name in ("ProvidersTable", "HeartbeatsTable")
    ]
    yield made
    for each in made:
        each.delete()


def test_registry_matches_model_after_any_operations(tables: list[Any]) -> None:
    kms = boto3.client("kms")
    key_arn = kms.create_key()["KeyMetadata"]["Arn"]

    run_state_machine_as_test(
        lambda: RegistryMachine(tables[0], tables[1], kms, key_arn),  # type: ignore[arg-type]
        settings=settings(max_examples=5, stateful_step_count=25, deadline=None),
    )
