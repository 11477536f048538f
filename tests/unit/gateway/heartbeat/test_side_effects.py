import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gateway.heartbeat.health import Outcome, RecordedBeat, next_health
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.side_effects import InternalFailure, SideEffectQueue
from gateway.registry.provider import Health
from tests.conftest import Aws
from tests.rehearsal import wait_until
from tests.unit.gateway.builders import WEEK, a_provider, an_outcome
from tests.unit.gateway.ticking import Events


def written(id_: str = "main", **changes: Any) -> RecordedBeat:
    before, outcome = Health("healthy"), an_outcome(1, **changes)
    return RecordedBeat(a_provider(id=id_, health=before), outcome, next_health(before, outcome))


def changed(count: int) -> list[RecordedBeat]:
    return [written(f"p{number}", error="no") for number in range(count)]


def test_only_a_change_of_status_is_an_event(aws: Aws) -> None:
    events, heard = Events(), list[RecordedBeat]()
    beats = [written("same"), written("new", error="no")]
    assert events.follow(HistoryStore(aws.heartbeats, kept=WEEK), heard).up(beats) == []
    assert [event["id"] for event in events.taken] == ["new"]
    assert heard == beats
    assert len(aws.heartbeats.scan()["Items"]) == 2


def test_events_go_ten_at_once_and_the_history_25(aws: Aws, calls: list[str]) -> None:
    events = Events()
    events.follow(HistoryStore(aws.heartbeats, kept=WEEK), []).up(changed(51))
    assert (events.calls, len(events.taken)) == (6, 51)
    assert calls == ["BatchWriteItem"] * 3


def test_an_item_that_spoils_a_batch_costs_no_other_its_history(aws: Aws) -> None:
    class Spoilt(HistoryStore):
        def add_all(self, beats: Sequence[tuple[str, Outcome]]) -> None:
            if "p1" in dict(beats):
                raise OSError
            super().add_all(beats)

    troubles = Events().follow(Spoilt(aws.heartbeats, kept=WEEK), []).up(changed(3))
    assert [(trouble.what, trouble.provider_id) for trouble in troubles] == [("history not written", "p1")]
    assert sorted(item["provider_id"] for item in aws.heartbeats.scan()["Items"]) == ["p0", "p2"]


def test_an_eventbridge_that_is_away_and_a_listener_that_breaks_cost_no_history(aws: Aws) -> None:
    class Away(Events):
        def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's name
            raise ConnectionError(Entries)

    class Deaf(list[RecordedBeat]):
        def append(self, _: RecordedBeat) -> None:
            raise ZeroDivisionError

    troubles = Away().follow(HistoryStore(aws.heartbeats, kept=WEEK), Deaf()).up(changed(2))
    assert [trouble.what for trouble in troubles] == ["beat not told"] * 2 + ["event not published"] * 2
    assert len(aws.heartbeats.scan()["Items"]) == 2


class Kept(HistoryStore):
    """A history that is written once it may be; keeps how many beats came at once. `spoilt` is raised for each."""

    def __init__(self, *, may: bool = True, spoilt: BaseException | None = None) -> None:
        self.may, self.sizes, self.ids, self.spoilt = threading.Event(), list[int](), list[str](), spoilt
        if may:
            self.may.set()

    def add_all(self, beats: Sequence[tuple[str, Outcome]]) -> None:
        self.sizes.append(len(beats))
        self.may.wait(5)
        if self.spoilt is not None:
            raise self.spoilt
        self.ids += [id_ for id_, _ in beats]


class Hanging(Events):
    """An EventBridge that answers once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's name
        answer = super().put_events(Entries)
        self.may.wait(5)
        return answer


def outbox_of(kept: Kept, events: Events | None = None) -> SideEffectQueue:
    return SideEffectQueue((events or Events()).follow(kept, []))


def lost(troubles: Sequence[InternalFailure]) -> Counter[str]:
    return Counter(trouble.what for trouble in troubles)


def no_thread_is_left() -> bool:
    return wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "outbox"])


def test_the_history_is_written_before_eventbridge_is_asked() -> None:
    class Asked(Events):
        def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's name
            assert len(kept.ids) == 2
            return super().put_events(Entries)

    kept = Kept()
    assert Asked().follow(kept, []).up(changed(2)) == []


def test_what_comes_meanwhile_goes_together_and_nothing_is_lost() -> None:
    kept = Kept(may=False)
    outbox = outbox_of(kept)
    outbox.put(written("first"))
    assert wait_until(lambda: kept.sizes)
    for beat in changed(30):
        outbox.put(beat)
    kept.may.set()
    assert outbox.close(within=5) == []
    assert kept.sizes == [1, 25, 5]
    assert kept.ids == ["first", *(f"p{number}" for number in range(30))]


def test_beats_that_come_one_soon_after_the_other_go_together() -> None:
    kept, events = Kept(), Events()
    outbox = outbox_of(kept, events)
    for beat in changed(4):
        outbox.put(beat)
    assert outbox.close(within=5) == []
    assert (kept.sizes, events.calls, len(events.taken)) == ([4], 1, 4)


def test_a_trouble_with_its_error_comes_out_at_the_end() -> None:
    outbox = outbox_of(Kept(spoilt=(full := OSError())), Events("new"))
    outbox.put(written("new", error="no"))
    assert outbox.close(within=5) == [
        InternalFailure("history not written", "new", full),
        InternalFailure("event not published", "new"),
    ]


def test_a_beat_after_the_end_is_followed_up_at_once_and_its_troubles_are_told() -> None:
    kept, events = Kept(spoilt=(full := OSError())), Events("late")
    outbox = outbox_of(kept, events)
    assert outbox.close(within=5) == []
    outbox.put(written("late", error="no"))
    assert kept.sizes == [1]
    assert events.late == [
        InternalFailure("history not written", "late", full),
        InternalFailure("event not published", "late"),
    ]


def test_what_is_under_way_or_waits_when_the_time_is_over_is_told_as_lost() -> None:
    kept, events = Kept(may=False), Hanging()
    outbox = outbox_of(kept, events)
    outbox.put(written("stuck"))
    assert wait_until(lambda: kept.sizes)
    outbox.put(written("waits"))
    outbox.put(written("new", error="no"))
    assert wait_until(lambda: events.calls)
    assert outbox.close(within=0.1) == [
        *(InternalFailure("history not written", id_) for id_ in ("stuck", "waits", "new")),
        InternalFailure("event not published", "new"),
    ]
    kept.may.set()
    events.may.set()
    assert no_thread_is_left()
    assert kept.ids == ["stuck"]


def test_an_eventbridge_that_hangs_costs_all_its_events_and_no_history() -> None:
    kept, events = Kept(), Hanging()
    outbox = outbox_of(kept, events)
    for beat in changed(40):
        outbox.put(beat)
    assert lost(outbox.close(within=0.5)) == {"event not published": 40}
    assert sorted(kept.ids) == sorted(f"p{number}" for number in range(40))
    events.may.set()
    assert no_thread_is_left()


def test_a_history_that_hangs_costs_no_event() -> None:
    kept, events = Kept(may=False), Events()
    outbox = outbox_of(kept, events)
    for beat in changed(40):
        outbox.put(beat)
    assert lost(outbox.close(within=0.5)) == {"history not written": 40}
    assert len(events.taken) == 40
    kept.may.set()
    assert no_thread_is_left()
