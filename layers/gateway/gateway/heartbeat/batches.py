"""Reads and writes of many items in one call to DynamoDB, which may leave some of them out."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

type Sleep = Callable[[float], object]

# The limit of BatchWriteItem.
MAX_ITEMS_PER_CALL = 25
# The limit of BatchGetItem.
MAX_KEYS_PER_CALL = 100
MAX_ATTEMPTS = 4
# The pause doubles after each attempt.
FIRST_PAUSE_SECONDS = 0.1


class TableBusy(Exception):
    """DynamoDB left some items out in every attempt."""


def put_all(table: "Table", items: Sequence[Mapping[str, Any]], sleep: Sleep = time.sleep) -> None:
    """Puts up to 25 items. Raises TableBusy and DynamoDB's errors."""
    requests: Mapping[str, Any] = {table.name: [{"PutRequest": {"Item": item}} for item in items]}
    for pause in _pauses():
        requests = table.meta.client.batch_write_item(RequestItems=requests)["UnprocessedItems"]
        if not requests:
            return
        sleep(pause)
    raise TableBusy


def get_all(
    table: "Table", keys: Sequence[Mapping[str, Any]], options: Mapping[str, Any], sleep: Sleep = time.sleep
) -> Iterator[dict[str, Any]]:
    """Yields the items with these keys that exist. `options` are those of BatchGetItem for the table.

    Raises TableBusy and DynamoDB's errors.
    """
    for batch in batched(keys, MAX_KEYS_PER_CALL, strict=False):
        requests: Mapping[str, Any] = {table.name: {**options, "Keys": list(batch)}}
        for pause in _pauses():
            result = table.meta.client.batch_get_item(RequestItems=requests)
            yield from result["Responses"].get(table.name, ())
            requests = result["UnprocessedKeys"]
            if not requests:
                break
            sleep(pause)
        else:
            raise TableBusy


def _pauses() -> Iterator[float]:
    return (FIRST_PAUSE_SECONDS * 2**attempt for attempt in range(MAX_ATTEMPTS))
