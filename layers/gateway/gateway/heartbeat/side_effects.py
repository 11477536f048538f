"""The side effects of a recorded heartbeat: notify a listener, store the history, publish a change of status."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Literal

from gateway.heartbeat import events
from gateway.heartbeat.batches import MAX_ITEMS_PER_CALL
from gateway.heartbeat.health import RecordedBeat
from gateway.heartbeat.history_store import HistoryStore

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

FailureKind = Literal[
    "beat not written", "history not written", "roll-up not written", "event not published", "listener failed"
]

NOT_WRITTEN: tuple[FailureKind, ...] = ("beat not written", "history not written", "roll-up not written")


@dataclass(frozen=True)
class InternalFailure:
    """A failure of the gateway, not of the provider.

    `kind` is the message of its log line. `error` is the exception, if there was one.
    """

    kind: FailureKind
    provider_id: str
    error: BaseException | None = None


type OnBeat = Callable[[RecordedBeat], None]
type OnFailures = Callable[[Sequence[InternalFailure]], None]


def count_not_written(failures: Iterable[InternalFailure]) -> int:
    """Counts the heartbeats that are missing in the registry or in the history, and the missing roll-ups."""
    return sum(failure.kind in NOT_WRITTEN for failure in failures)


def count_not_published(failures: Iterable[InternalFailure]) -> int:
    """Counts the changes of status that EventBridge did not accept."""
    return sum(failure.kind == "event not published" for failure in failures)


class SideEffects:
    """Runs the side effects of recorded heartbeats.

    Methods never raise: they return the failures. A failure affects no other provider and no other kind of side effect.
    `on_late_failures` receives the failures of heartbeats that end after their tick, because no tick counts those.
    """

    def __init__(
        self, history: HistoryStore, events: "EventBridgeClient", on_beat: OnBeat, on_late_failures: OnFailures
    ) -> None:
        self._history = history
        self._events = events
        self._on_beat = on_beat
        self.on_late_failures = on_late_failures

    def run(self, beats: Sequence[RecordedBeat]) -> list[InternalFailure]:
        """Runs all side effects in the caller's thread. Stores the history first, because EventBridge may hang."""
        failures = [failure for beat in beats for failure in self.notify(beat)]
        for batch in batched(beats, MAX_ITEMS_PER_CALL, strict=False):
            failures += self.store_history(batch)
        changes = (beat for beat in beats if beat.has_events)
        for batch in batched(changes, events.MAX_EVENTS_PER_CALL, strict=False):
            failures += self.publish_events(batch)
        return failures

    def notify(self, beat: RecordedBeat) -> list[InternalFailure]:
        """Calls `on_beat`."""
        try:
            self._on_beat(beat)
        except Exception as error:  # noqa: BLE001 -- every error is a failure
            return [InternalFailure("listener failed", beat.before.id, error)]
        return []

    def publish_events(self, changes: Sequence[RecordedBeat]) -> list[InternalFailure]:
        """Publishes the events of up to 10 changes of status."""
        try:
            rejected = events.publish(self._events, changes)
        except Exception as error:  # noqa: BLE001 -- every error is a failure
            return [InternalFailure("event not published", change.before.id, error) for change in changes]
        return [InternalFailure("event not published", change.before.id) for change in rejected]

    def store_history(self, beats: Sequence[RecordedBeat]) -> list[InternalFailure]:
        """Stores the outcomes of up to 25 heartbeats. One item may fail a whole batch, so a failed batch is split."""
        try:
            self._history.add_all([(beat.before.id, beat.outcome) for beat in beats])
        except Exception as error:  # noqa: BLE001 -- every error is a failure
            if len(beats) == 1:
                return [InternalFailure("history not written", beats[0].before.id, error)]
            return [failure for beat in beats for failure in self.store_history([beat])]
        return []
