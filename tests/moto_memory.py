"""Reads and empties the tables of a moto account directly, which is faster than calls through boto3."""

from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from tests.conftest import REGION, Aws

deserialize = TypeDeserializer().deserialize


def read_moto_memory(table: Any) -> list[dict[str, Any]]:
    """Returns all items of a table."""
    items = _stored(table).all_items()
    return [{name: deserialize(value.to_regular_json()) for name, value in item.attrs.items()} for item in items]


def empty_moto_tables(aws: Aws) -> None:
    """Deletes all items of all tables."""
    for table in (aws.providers, aws.heartbeats, aws.roll_ups):
        _stored(table).items.clear()


def _stored(table: Any) -> Any:
    return dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables[table.name]
