"""The stores run on boto3's tables in their own tests. These tests compare the tables without boto3 with them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gateway.core.aws_api import DYNAMODB, EVENTS, AwsApi, Timeouts
from gateway.core.aws_settings import AwsSettings
from gateway.core.table_api import events_api, table_api
from tests.conftest import Aws
from tests.moto_server import moto_server
from tests.scripted_server import ScriptedServer, always, answer, in_turn

ENVIRON = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
ITEMS = [
    {"provider_id": "main", "at": f"2026-01-0{day}", "good": day > 1, "tokens": day, "cells": b"\x01"}
    for day in range(1, 5)
]

type NewTable = Callable[[str], Any]


def api(url: str) -> AwsApi:
    return AwsApi(DYNAMODB, AwsSettings(aws_endpoint_url=url), ENVIRON, Timeouts(attempts=1))


@pytest.fixture
def new_table() -> Iterator[NewTable]:
    with moto_server() as moto:
        dynamodb = api(moto.url)
        yield lambda name: table_api(dynamodb, name)
        dynamodb.close()


@pytest.fixture
def beats(aws: Aws, new_table: NewTable) -> Any:
    """The heartbeats table with four items."""
    table = new_table(aws.heartbeats.name)
    puts = [{"PutRequest": {"Item": item}} for item in ITEMS]
    assert table.meta.client.batch_write_item(RequestItems={table.name: puts}) == {"UnprocessedItems": {}}
    return table


def read_all(read: Callable[..., Any], **request: Any) -> list[dict[str, Any]]:
    """Returns the items of all pages. Binary values are bytes."""
    items = []
    while True:
        page = read(**request)
        items += [item | {"cells": bytes(item["cells"])} for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return items
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


@pytest.mark.parametrize("limit", [{}, {"Limit": 1}], ids=["one page", "pages of one item"])
def test_scans_as_boto3_does(aws: Aws, beats: Any, limit: dict[str, int]) -> None:
    items = read_all(beats.scan, ConsistentRead=True, **limit)

    assert items == read_all(aws.heartbeats.scan, ConsistentRead=True, **limit)
    assert sorted(items, key=lambda item: str(item["at"])) == ITEMS


@pytest.mark.parametrize("limit", [{}, {"Limit": 3}], ids=["one page", "two pages"])
def test_queries_as_boto3_does(aws: Aws, beats: Any, limit: dict[str, int]) -> None:
    query = {
        "KeyConditionExpression": "provider_id = :id AND #at BETWEEN :first AND :last",
        "FilterExpression": "good = :good",
        "ExpressionAttributeNames": {"#at": "at"},
        "ExpressionAttributeValues": {":id": "main", ":first": "2026", ":last": "2026-01-03", ":good": True},
        "ScanIndexForward": False,
    }

    assert read_all(beats.query, **query, **limit) == ITEMS[2:0:-1]
    assert read_all(aws.heartbeats.query, **query, **limit) == ITEMS[2:0:-1]


def test_gets_items_as_boto3_does(aws: Aws, beats: Any) -> None:
    keys = [{"provider_id": "main", "at": item["at"]} for item in ITEMS[:2]]
    request = {beats.name: {"Keys": [*keys, {"provider_id": "other", "at": "2026"}], "ConsistentRead": True}}
    result = beats.meta.client.batch_get_item(RequestItems=request)

    assert (result["Responses"][beats.name], result["UnprocessedKeys"]) == (ITEMS[:2], {})
    assert beats.get_item(Key=keys[0]) == {"Item": ITEMS[0]}
    assert beats.get_item(Key={"provider_id": "other", "at": "2026"}) == {}


def test_updates_items_under_a_condition(aws: Aws, new_table: NewTable) -> None:
    aws.providers.put_item(Item={"id": "main", "version": "1"})
    update: dict[str, Any] = {
        "Key": {"id": "main"},
        "UpdateExpression": "SET #n = :n",
        "ConditionExpression": "version = :v",
        "ExpressionAttributeNames": {"#n": "name"},
    }
    table = new_table(aws.providers.name)
    table.update_item(**update, ExpressionAttributeValues={":n": "new", ":v": "1"})
    with pytest.raises(ClientError) as lost:
        table.update_item(**update, ExpressionAttributeValues={":n": "newer", ":v": "2"})

    assert lost.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert aws.providers.scan()["Items"] == [{"id": "main", "version": "1", "name": "new"}]


def test_returns_what_dynamodb_left_out_as_plain_values() -> None:
    put = {"PutRequest": {"Item": {"provider_id": {"S": "main"}, "cells": {"B": "AQ=="}}}}
    unread = {"Keys": [{"id": {"S": "a"}}], "ConsistentRead": True}
    left_out = [
        {"UnprocessedItems": {"beats": [put]}},
        {"Responses": {"beats": []}, "UnprocessedKeys": {"beats": unread}},
    ]
    script = in_turn(*((answer(body=json.dumps(content).encode()),) for content in left_out))
    plain_put = {"PutRequest": {"Item": {"provider_id": "main", "cells": b"\x01"}}}
    keys = {"Keys": [{"id": "a"}], "ConsistentRead": True}
    with ScriptedServer(script) as server:
        dynamodb = api(server.url)
        client: Any = table_api(dynamodb, "beats").meta.client
        items = client.batch_write_item(RequestItems={"beats": [plain_put]})
        rest = client.batch_get_item(RequestItems={"beats": keys})
        dynamodb.close()

    assert items == {"UnprocessedItems": {"beats": [plain_put]}}
    assert rest == {"Responses": {"beats": []}, "UnprocessedKeys": {"beats": keys}}


def test_publishes_events() -> None:
    entries = [{"Source": "tokenhub-gateway", "DetailType": "Provider Health Changed", "Detail": "{}"}]
    with ScriptedServer(always(answer(body=b'{"Entries": [{"EventId": "1"}], "FailedEntryCount": 0}'))) as server:
        events = AwsApi(EVENTS, AwsSettings(aws_endpoint_url=server.url), ENVIRON)
        published = events_api(events).put_events(Entries=entries)  # type: ignore[arg-type]
        events.close()

    [request] = server.requests
    assert published["Entries"] == [{"EventId": "1"}]
    assert (request.headers["x-amz-target"], request.json()) == ("AWSEvents.PutEvents", {"Entries": entries})
