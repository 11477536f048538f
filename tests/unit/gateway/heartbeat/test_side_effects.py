from collections.abc import Sequence
from typing import Any

from gateway.heartbeat.health import Outcome, RecordedBeat
from gateway.heartbeat.history_store import HistoryStore
from tests.conftest import Aws
from tests.unit.gateway.builders import WEEK
from tests.unit.gateway.ticking import Events, changed_beats, recorded_beat


def test_publishes_only_changes_of_status(aws: Aws) -> None:
    events, notified = Events(), list[RecordedBeat]()
    beats = [recorded_beat("same"), recorded_beat("new", error="no")]
    assert events.side_effects(HistoryStore(aws.heartbeats, retention=WEEK), notified).run(beats) == []
    assert [event["id"] for event in events.accepted] == ["new"]
    assert notified == beats
    assert len(aws.heartbeats.scan()["Items"]) == 2


def test_batches_10_events_and_25_outcomes(aws: Aws, calls: list[str]) -> None:
    events = Events()
    events.side_effects(HistoryStore(aws.heartbeats, retention=WEEK), []).run(changed_beats(51))
    assert (events.calls, len(events.accepted)) == (6, 51)
    assert calls == ["BatchWriteItem"] * 3


def test_a_bad_item_does_not_cost_the_rest_of_its_batch(aws: Aws) -> None:
    class BadItemHistory(HistoryStore):
        def add_all(self, beats: Sequence[tuple[str, Outcome]]) -> None:
            if "p1" in dict(beats):
                raise OSError
            super().add_all(beats)

    failures = Events().side_effects(BadItemHistory(aws.heartbeats, retention=WEEK), []).run(changed_beats(3))
    assert [(failure.kind, failure.provider_id) for failure in failures] == [("history not written", "p1")]
    assert sorted(item["provider_id"] for item in aws.heartbeats.scan()["Items"]) == ["p0", "p2"]


def test_failures_of_eventbridge_and_the_listener_cost_no_history(aws: Aws) -> None:
    class UnreachableEvents(Events):
        def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's name
            raise ConnectionError(Entries)

    class FailingListener(list[RecordedBeat]):
        def append(self, _: RecordedBeat) -> None:
            raise ZeroDivisionError

    failures = (
        UnreachableEvents()
        .side_effects(HistoryStore(aws.heartbeats, retention=WEEK), FailingListener())
        .run(changed_beats(2))
    )
    assert [failure.kind for failure in failures] == ["listener failed"] * 2 + ["event not published"] * 2
    assert len(aws.heartbeats.scan()["Items"]) == 2


def test_stores_history_before_publishing(aws: Aws) -> None:
    class AssertingEvents(Events):
        def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's name
            assert len(aws.heartbeats.scan()["Items"]) == 2
            return super().put_events(Entries)

    events = AssertingEvents()
    assert events.side_effects(HistoryStore(aws.heartbeats, retention=WEEK), []).run(changed_beats(2)) == []
    assert events.calls == 1
