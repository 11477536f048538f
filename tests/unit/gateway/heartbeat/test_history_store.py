from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from boto3.dynamodb.conditions import Key

from gateway.heartbeat.batches import TableBusy
from gateway.heartbeat.history_store import HistoryStore
from tests.conftest import Aws
from tests.unit.gateway.builders import AT, WEEK, an_outcome


def test_stores_all_values_of_an_outcome(aws: Aws) -> None:
    outcome = an_outcome(error="no", ttft_ms=3, tokens=7, model="echo", slot="s")
    HistoryStore(aws.heartbeats, retention=WEEK).add("main", outcome)
    (item,) = aws.heartbeats.scan()["Items"]
    assert item == {
        "provider_id": "main",
        "at": "2026-01-02T03:04:05.678901Z",
        "good": False,
        "error": "no",
        "latency_ms": 12,
        "ttft_ms": 3,
        "model": "echo",
        "tokens": 7,
        "expires_at": int(AT.timestamp()) + 7 * 24 * 3600,
    }


def test_an_outcome_expires_after_the_retention(aws: Aws) -> None:
    HistoryStore(aws.heartbeats, retention=timedelta(days=30)).add("main", an_outcome())

    assert aws.heartbeats.scan()["Items"][0]["expires_at"] == int(AT.timestamp()) + 30 * 24 * 3600


def test_omits_unknown_values(aws: Aws) -> None:
    HistoryStore(aws.heartbeats, retention=WEEK).add("main", an_outcome())
    (item,) = aws.heartbeats.scan()["Items"]
    assert set(item) == {"provider_id", "at", "good", "latency_ms", "expires_at"}
    assert item["good"] is True


def test_stores_25_outcomes_in_one_call(aws: Aws, calls: list[str]) -> None:
    HistoryStore(aws.heartbeats, retention=WEEK).add_all([(f"p{number}", an_outcome()) for number in range(25)])
    assert calls == ["BatchWriteItem"]
    assert len(aws.heartbeats.scan()["Items"]) == 25


class ThrottledTable:
    """A table whose calls leave `unprocessed` items unwritten, one number for each call."""

    name = "heartbeats"

    def __init__(self, *unprocessed: int) -> None:
        self.meta = SimpleNamespace(client=self)
        self.unprocessed = list(unprocessed)
        self.sizes: list[int] = []

    def batch_write_item(self, RequestItems: Any) -> Any:  # noqa: N803 -- boto3's name
        requests = RequestItems[self.name]
        self.sizes.append(len(requests))
        unprocessed = requests[: self.unprocessed.pop(0)]
        return {"UnprocessedItems": {self.name: unprocessed} if unprocessed else {}}


def test_retries_unprocessed_items_with_growing_pauses() -> None:
    table, pauses = ThrottledTable(3, 1, 0), list[float]()
    HistoryStore(cast("Any", table), retention=WEEK, sleep=pauses.append).add_all(
        [(str(number), an_outcome()) for number in range(5)]
    )
    assert (table.sizes, pauses) == ([5, 3, 1], [0.1, 0.2])


def test_raises_if_items_stay_unprocessed() -> None:
    history = HistoryStore(cast("Any", ThrottledTable(1, 1, 1, 1)), retention=WEEK, sleep=lambda _: None)
    with pytest.raises(TableBusy):
        history.add("main", an_outcome())


def test_keys_sort_by_time(aws: Aws) -> None:
    history = HistoryStore(aws.heartbeats, retention=WEEK)
    for seconds in (30, 0, 60.5, 60):
        history.add("main", an_outcome(seconds))
        history.add("other", an_outcome(seconds + 1))
    result = aws.heartbeats.query(KeyConditionExpression=Key("provider_id").eq("main"), ScanIndexForward=False)
    times = [item["at"] for item in result["Items"]]
    assert len(times) == 4
    assert times == sorted(times, reverse=True)
