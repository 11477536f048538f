"""DynamoDB tables and EventBridge without boto3, with the calls and parameters of boto3 that the heartbeat uses.

A call takes a fifth of boto3's CPU time (docs/benchmarks.md), and a tick makes a thousand. The methods return only
boto3's members that are read: no ResponseMetadata.
"""

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from gateway.core.attributes import attributes, plain_item
from gateway.core.aws_api import AwsApi

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_events import EventBridgeClient

# The members of a request that hold attribute values.
VALUE_MEMBERS = ("Key", "ExpressionAttributeValues", "ExclusiveStartKey")


def table_api(dynamodb: AwsApi, name: str) -> "Table":
    """Returns a table that calls DynamoDB without boto3. It has the calls of TableApi only."""
    return cast("Table", TableApi(dynamodb, name))


def events_api(events: AwsApi) -> "EventBridgeClient":
    """Returns a client of EventBridge without boto3. It has `put_events` only."""
    return cast("EventBridgeClient", EventsApi(events))


class TableApi:
    """A table and, as in boto3, the client of its service in `meta.client`. Binary values are bytes."""

    def __init__(self, dynamodb: AwsApi, name: str) -> None:
        self.name = name
        self.meta = SimpleNamespace(client=self)
        self._dynamodb = dynamodb

    def get_item(self, **request: Any) -> dict[str, Any]:
        return self._call("GetItem", request)

    def update_item(self, **request: Any) -> dict[str, Any]:
        return self._call("UpdateItem", request)

    def query(self, **request: Any) -> dict[str, Any]:
        return self._call("Query", request)

    def scan(self, **request: Any) -> dict[str, Any]:
        return self._call("Scan", request)

    def batch_write_item(self, **request: Any) -> dict[str, Any]:
        """Puts items. The requests must be puts."""
        tables = {table: _puts(requests, attributes) for table, requests in request["RequestItems"].items()}
        unprocessed = self._dynamodb.call("BatchWriteItem", {"RequestItems": tables}).get("UnprocessedItems", {})
        return {"UnprocessedItems": {table: _puts(requests, plain_item) for table, requests in unprocessed.items()}}

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        tables = {table: _with_keys(reads, attributes) for table, reads in request["RequestItems"].items()}
        result = self._dynamodb.call("BatchGetItem", {"RequestItems": tables})
        unprocessed = result.get("UnprocessedKeys", {})
        return {
            "Responses": {table: [plain_item(item) for item in items] for table, items in result["Responses"].items()},
            "UnprocessedKeys": {table: _with_keys(reads, plain_item) for table, reads in unprocessed.items()},
        }

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        converted = {name: attributes(value) if name in VALUE_MEMBERS else value for name, value in request.items()}
        result = self._dynamodb.call(operation, {"TableName": self.name, **converted})
        for name in ("Item", "LastEvaluatedKey"):
            if name in result:
                result[name] = plain_item(result[name])
        if "Items" in result:
            result["Items"] = [plain_item(item) for item in result["Items"]]
        return result


class EventsApi:
    """A client of EventBridge, as boto3's for `put_events`. A repeated attempt may publish an event twice."""

    def __init__(self, events: AwsApi) -> None:
        self._events = events

    def put_events(self, **request: Any) -> dict[str, Any]:
        return self._events.call("PutEvents", request)


type _Convert = Callable[[Mapping[str, Any]], dict[str, Any]]


def _puts(requests: Iterable[Mapping[str, Any]], convert: _Convert) -> list[dict[str, Any]]:
    return [{"PutRequest": {"Item": convert(request["PutRequest"]["Item"])}} for request in requests]


def _with_keys(reads: Mapping[str, Any], convert: _Convert) -> dict[str, Any]:
    return {**reads, "Keys": [convert(key) for key in reads["Keys"]]}
