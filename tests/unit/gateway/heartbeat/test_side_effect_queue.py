import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gateway.heartbeat.health import Outcome
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.side_effect_queue import LINGER_SECONDS, SideEffectQueue
from gateway.heartbeat.side_effects import InternalFailure
from tests.rehearsal import wait_until
from tests.unit.gateway.ticking import Events, changed_beats, recorded_beat


class BlockableHistory(HistoryStore):
    """A history whose writes wait until `released` is set, and then raise `error` if there is one."""

    def __init__(self, *, blocked: bool = False, error: BaseException | None = None) -> None:
        self.released, self.sizes, self.ids, self.error = threading.Event(), list[int](), list[str](), error
        if not blocked:
            self.released.set()

    def add_all(self, beats: Sequence[tuple[str, Outcome]]) -> None:
        self.sizes.append(len(beats))
        self.released.wait(30)
        if self.error is not None:
            raise self.error
        self.ids += [id_ for id_, _ in beats]


class BlockableEvents(Events):
    """An EventBridge whose calls wait until `released` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's name
        response = super().put_events(Entries)
        self.released.wait(30)
        return response


def queue_of(history: BlockableHistory, events: Events | None = None) -> SideEffectQueue:
    return SideEffectQueue((events or Events()).side_effects(history, []))


def count_kinds(failures: Sequence[InternalFailure]) -> Counter[str]:
    return Counter(failure.kind for failure in failures)


def threads_end() -> bool:
    return wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "side-effects"])


def test_batches_beats_that_arrive_during_a_call() -> None:
    history = BlockableHistory(blocked=True)
    queue = queue_of(history)
    queue.put(recorded_beat("first"))
    assert wait_until(lambda: history.sizes)
    for beat in changed_beats(30):
        queue.put(beat)
    history.released.set()
    assert queue.close(within=30) == []
    assert history.sizes == [1, 25, 5]
    assert history.ids == ["first", *(f"p{number}" for number in range(30))]


def test_batches_beats_that_arrive_within_the_linger_time() -> None:
    history, events = BlockableHistory(), Events()
    queue = queue_of(history, events)
    beats, began = changed_beats(4), time.monotonic()
    for beat in beats:
        queue.put(beat)
    arrived_in_time = time.monotonic() - began < LINGER_SECONDS
    assert queue.close(within=30) == []
    assert (sum(history.sizes), len(events.accepted)) == (4, 4)
    # A busy machine may put them too slowly.
    if arrived_in_time:
        assert (history.sizes, events.calls) == ([4], 1)


def test_close_returns_the_failures_with_their_errors() -> None:
    queue = queue_of(BlockableHistory(error=(error := OSError())), Events("new"))
    queue.put(recorded_beat("new", error="no"))
    assert queue.close(within=30) == [
        InternalFailure("history not written", "new", error),
        InternalFailure("event not published", "new"),
    ]


def test_runs_the_side_effects_of_a_late_beat_at_once() -> None:
    history, events = BlockableHistory(error=(error := OSError())), Events("late")
    queue = queue_of(history, events)
    assert queue.close(within=30) == []
    queue.put(recorded_beat("late", error="no"))
    assert history.sizes == [1]
    assert events.late_failures == [
        InternalFailure("history not written", "late", error),
        InternalFailure("event not published", "late"),
    ]


def test_unfinished_side_effects_count_as_failures() -> None:
    history, events = BlockableHistory(blocked=True), BlockableEvents()
    queue = queue_of(history, events)
    queue.put(recorded_beat("stuck"))
    assert wait_until(lambda: history.sizes)
    queue.put(recorded_beat("queued"))
    queue.put(recorded_beat("new", error="no"))
    assert wait_until(lambda: events.calls)
    assert queue.close(within=0.1) == [
        *(InternalFailure("history not written", id_) for id_ in ("stuck", "queued", "new")),
        InternalFailure("event not published", "new"),
    ]
    history.released.set()
    events.released.set()
    assert threads_end()
    assert history.ids == ["stuck"]


def test_a_hanging_eventbridge_costs_no_history() -> None:
    history, events = BlockableHistory(), BlockableEvents()
    queue = queue_of(history, events)
    for beat in changed_beats(40):
        queue.put(beat)
    assert wait_until(lambda: len(history.ids) == 40)
    assert count_kinds(queue.close(within=1)) == {"event not published": 40}
    assert sorted(history.ids) == sorted(f"p{number}" for number in range(40))
    events.released.set()
    assert threads_end()


def test_a_hanging_history_costs_no_event() -> None:
    history, events = BlockableHistory(blocked=True), Events()
    queue = queue_of(history, events)
    for beat in changed_beats(40):
        queue.put(beat)
    assert wait_until(lambda: len(events.accepted) == 40)
    assert count_kinds(queue.close(within=1)) == {"history not written": 40}
    assert len(events.accepted) == 40
    history.released.set()
    assert threads_end()
