from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from boto3.dynamodb.conditions import Key

from gateway.heartbeat.history_store import HistoryFull, HistoryStore
from tests.conftest import Aws
from tests.unit.gateway.builders import AT, WEEK, an_outcome


def test_an_outcome_is_kept_with_all_that_it_met(aws: Aws) -> None:
    outcome = an_outcome(error="no", ttft_ms=3, tokens=7, model="echo", slot="s")
    HistoryStore(aws.heartbeats, kept=WEEK).add("main", outcome)
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


def test_it_is_kept_for_as_long_as_was_asked(aws: Aws) -> None:
    HistoryStore(aws.heartbeats, kept=timedelta(days=30)).add("main", an_outcome())

    assert aws.heartbeats.scan()["Items"][0]["expires_at"] == int(AT.timestamp()) + 30 * 24 * 3600


def test_a_good_outcome_has_no_error_and_what_is_unknown_is_left_out(aws: Aws) -> None:
    HistoryStore(aws.heartbeats, kept=WEEK).add("main", an_outcome())
    (item,) = aws.heartbeats.scan()["Items"]
    assert set(item) == {"provider_id", "at", "good", "latency_ms", "expires_at"}
    assert item["good"] is True


def test_many_outcomes_are_one_call(aws: Aws, calls: list[str]) -> None:
    HistoryStore(aws.heartbeats, kept=WEEK).add_all([(f"p{number}", an_outcome()) for number in range(25)])
    assert calls == ["BatchWriteItem"]
    assert len(aws.heartbeats.scan()["Items"]) == 25


class Reluctant:
    """A table of which each call leaves some items unwritten."""

    name = "heartbeats"

    def __init__(self, *left: int) -> None:
        self.meta = SimpleNamespace(client=self)
        self.left = list(left)
        self.asked: list[int] = []

    def batch_write_item(self, RequestItems: Any) -> Any:  # noqa: N803 -- boto3's name
        requests = RequestItems[self.name]
        self.asked.append(len(requests))
        left = requests[: self.left.pop(0)]
        return {"UnprocessedItems": {self.name: left} if left else {}}


def test_what_dynamodb_leaves_is_sent_again_and_a_little_later() -> None:
    table, paused = Reluctant(3, 1, 0), list[float]()
    HistoryStore(cast("Any", table), kept=WEEK, sleep=paused.append).add_all(
        [(str(number), an_outcome()) for number in range(5)]
    )
    assert (table.asked, paused) == ([5, 3, 1], [0.1, 0.2])


def test_what_dynamodb_leaves_again_and_again_is_no_silence() -> None:
    with pytest.raises(HistoryFull):
        HistoryStore(cast("Any", Reluctant(1, 1, 1, 1)), kept=WEEK, sleep=lambda _: None).add("main", an_outcome())


def test_the_history_of_a_provider_reads_newest_first(aws: Aws) -> None:
    history = HistoryStore(aws.heartbeats, kept=WEEK)
    for seconds in (30, 0, 60.5, 60):
        history.add("main", an_outcome(seconds))
        history.add("other", an_outcome(seconds + 1))
    found = aws.heartbeats.query(KeyConditionExpression=Key("provider_id").eq("main"), ScanIndexForward=False)
    times = [item["at"] for item in found["Items"]]
    assert len(times) == 4
    assert times == sorted(times, reverse=True)
