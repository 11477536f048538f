#!/usr/bin/env bash
# boto3's DynamoDB conditions: a call in another thread, on another table and without a condition, changes a query.
#
# Versions: boto3 1.43.108 (PyPI), Python 3.13.
# Expected: boto3's guide says that resource instances are not thread-safe and that each thread needs its own. One
#           Table object for each thread should therefore do, and a read of another table by its key has no condition.
# Seen:     all tables of one `boto3.resource("dynamodb")` share one builder of conditions. Every call, with or without
#           a condition, resets its counter. A query that is being built in another thread then uses a placeholder
#           twice: its `BETWEEN` gets the partition key's value, or its partition key that of the range. DynamoDB
#           receives a valid query for another range or another key, and returns too little without an error.
# Matters:  A worker that queries in one thread and writes in others loses items at random, under load only. A query
#           with ExpressionAttributeValues and its conditions as text is not affected.
# Source:   boto3 guide "Resources", section "Multithreading or multiprocessing with resources". boto3:
#           `TransformationInjector.inject_condition_expressions` in `boto3/dynamodb/transform.py`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.13 -m venv venv
venv/bin/pip install -q boto3==1.43.108

cat > finding.py <<'PYTHON'
import json
import sys
import threading

import boto3
from boto3.dynamodb.conditions import Key
from botocore.awsrequest import AWSResponse

RANGE = ("2026-01-01", "2026-01-31")
WITH_TEXT = {
    "KeyConditionExpression": "#id = :id AND #at BETWEEN :first AND :last",
    "ExpressionAttributeNames": {"#id": "id", "#at": "at"},
    "ExpressionAttributeValues": {":id": "main", ":first": RANGE[0], ":last": RANGE[1]},
}
done = threading.Event()


class Raw:
    def __init__(self, body):
        self._body = body

    def stream(self, **_):
        yield self._body


def answer(request, **_):
    """Keeps the query that boto3 would send, and answers without a network."""
    if request.headers["X-Amz-Target"].endswith(b"Query"):
        sent.add(request.body.decode())
    return AWSResponse(request.url, 200, {}, Raw(b"{}"))


def read_another_table():
    table = dynamodb.Table("another")
    while not done.is_set():
        table.get_item(Key={"id": "x"})


def is_wrong(query):
    """A query that DynamoDB accepts, with one value in two places."""
    return len(query["ExpressionAttributeNames"]) == 2 and len(query["ExpressionAttributeValues"]) < 3


def wrong_queries(count, **query):
    """Sends up to `count` queries, and returns the wrong ones once there are any."""
    table = dynamodb.Table("beats")
    for _ in range(count):
        table.query(**query)
        if wrong := [each for each in map(json.loads, sent) if is_wrong(each)]:
            return wrong
    return []


sent = set()
# Threads change places more often, so that the fault shows in seconds.
sys.setswitchinterval(1e-6)
dynamodb = boto3.resource(
    "dynamodb", region_name="us-east-1", aws_access_key_id="unused", aws_secret_access_key="unused"
)
dynamodb.meta.client.meta.events.register("before-send.dynamodb", answer)
reader = threading.Thread(target=read_another_table)
reader.start()
built = wrong_queries(50_000, KeyConditionExpression=Key("id").eq("main") & Key("at").between(*RANGE))
sent.clear()
text = wrong_queries(1_000, **WITH_TEXT)
done.set()
reader.join()

assert text == [], text
assert built, "every query had its three values: the behaviour has changed"
print("sent:", built[0]["KeyConditionExpression"], built[0]["ExpressionAttributeValues"])
print("confirmed: a concurrent call on another table changed the query")
PYTHON
venv/bin/python finding.py
