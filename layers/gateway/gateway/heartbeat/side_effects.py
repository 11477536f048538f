"""What follows a beat that was written down: its history, an event when its status changed, and who else listens.

In batches and in threads of their own, so that a thousand beats cost forty calls and no beat waits for another's.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import batched
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Literal

from gateway.heartbeat import events, history_store
from gateway.heartbeat.health import RecordedBeat
from gateway.heartbeat.history_store import HistoryStore

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

LINGER_SECONDS = 0.2  # for more beats to come: one call then writes them all

OnBeat = Callable[[RecordedBeat], None]
What = Literal["beat not written", "history not written", "event not published", "beat not told"]


@dataclass(frozen=True)
class InternalFailure:
    """A failure of our own: what did not happen, for which provider, and why where it is known."""

    what: What
    provider_id: str
    error: BaseException | None = None


def not_written(troubles: Iterable[InternalFailure]) -> int:
    """Beats that are missing in the registry or in the history."""
    return sum(trouble.what in ("beat not written", "history not written") for trouble in troubles)


def events_not_published(troubles: Iterable[InternalFailure]) -> int:
    """Changes of status that EventBridge did not take."""
    return sum(trouble.what == "event not published" for trouble in troubles)


OnFailures = Callable[[Sequence[InternalFailure]], None]


class SideEffects:
    """Does what follows. One provider's trouble touches no other's, and one kind of trouble no other kind: nothing here
    raises, all returns what could not be done.

    `on_late` is told of the troubles of beats that came after the end of their tick: nobody else counts them.
    """

    def __init__(
        self, history: HistoryStore, events: "EventBridgeClient", on_beat: OnBeat, on_late: OnFailures
    ) -> None:
        self._history = history
        self._events = events
        self._on_beat = on_beat
        self.on_late = on_late

    def up(self, beats: Sequence[RecordedBeat]) -> list[InternalFailure]:
        """All that follows, in the caller's thread. The history goes first: EventBridge may hang."""
        troubles = [trouble for beat in beats for trouble in self.tell(beat)]
        for some in batched(beats, history_store.MAX_AT_ONCE, strict=False):
            troubles += self.keep(some)
        for changes in batched((beat for beat in beats if beat.changed), events.MAX_AT_ONCE, strict=False):
            troubles += self.publish(changes)
        return troubles

    def tell(self, beat: RecordedBeat) -> list[InternalFailure]:
        """Tells `on_beat`."""
        try:
            self._on_beat(beat)
        except Exception as error:  # noqa: BLE001 -- a trouble, whatever it is
            return [InternalFailure("beat not told", beat.before.id, error)]
        return []

    def publish(self, changes: Sequence[RecordedBeat]) -> list[InternalFailure]:
        """The events of up to ten changes."""
        try:
            lost = events.publish(self._events, changes)
        except Exception as error:  # noqa: BLE001 -- a trouble, whatever it is
            return [InternalFailure("event not published", change.before.id, error) for change in changes]
        return [InternalFailure("event not published", change.before.id) for change in lost]

    def keep(self, beats: Sequence[RecordedBeat]) -> list[InternalFailure]:
        """The history of up to 25 beats."""
        try:
            self._history.add_all([(beat.before.id, beat.outcome) for beat in beats])
        except Exception as error:  # noqa: BLE001 -- a trouble, whatever it is
            if len(beats) == 1:
                return [InternalFailure("history not written", beats[0].before.id, error)]
            return [trouble for beat in beats for trouble in self.keep([beat])]  # one may spoil a whole batch
        return []


class SideEffectQueue:
    """Takes the beats of a tick from many threads, and follows them up in two of its own: an EventBridge that hangs
    costs no history."""

    def __init__(self, follow: SideEffects) -> None:
        self._follow = follow
        self._lock = Lock()
        self._closed = False
        self._troubles: list[InternalFailure] = []
        self._history = _Batches(follow.keep, history_store.MAX_AT_ONCE, "history not written")
        self._changes = _Batches(follow.publish, events.MAX_AT_ONCE, "event not published")

    def put(self, beat: RecordedBeat) -> None:
        """Tells of a beat, and follows it up soon; at once, and in the caller's thread, where the outbox is closed."""
        with self._lock:
            if not self._closed:
                self._troubles += self._follow.tell(beat)
                self._history.put(beat)
                if beat.changed:
                    self._changes.put(beat)
                return
        self._follow.on_late(self._follow.up([beat]))

    def close(self, within: float) -> list[InternalFailure]:
        """Returns when all that was put is followed up, with every trouble; what is not known to be done after so many
        seconds is one, too."""
        until = time.monotonic() + within
        with self._lock:
            self._closed = True
        return [*self._troubles, *self._history.close(until), *self._changes.close(until)]


class _Batches:
    """Does one thing with beats in a thread of its own, with up to `most` that come together at once. `lost` is the
    trouble of a beat with which it was not done."""

    def __init__(self, do: Callable[[Sequence[RecordedBeat]], list[InternalFailure]], most: int, lost: What) -> None:
        self._do = do
        self._most = most
        self._lost = lost
        self._waiting: SimpleQueue[RecordedBeat | None] = SimpleQueue()
        self._lock = Lock()
        self._open: dict[int, RecordedBeat] = {}  # by identity: waiting or under way
        self._troubles: list[InternalFailure] = []
        self._thread = Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, beat: RecordedBeat) -> None:
        with self._lock:
            self._open[id(beat)] = beat
        self._waiting.put(beat)

    def close(self, until: float) -> list[InternalFailure]:
        """The troubles, once all is done or the monotonic clock says `until`."""
        self._waiting.put(None)
        self._thread.join(max(0.0, until - time.monotonic()))
        self._drop_what_waits()
        with self._lock:
            return [*self._troubles, *(InternalFailure(self._lost, beat.before.id) for beat in self._open.values())]

    def _drop_what_waits(self) -> None:
        with suppress(Empty):
            while self._waiting.get_nowait() is not None:
                pass
            self._waiting.put(None)  # the thread ends by it

    def _run(self) -> None:
        going = True
        while going:
            beats, going = self._some()
            troubles = self._do(beats) if beats else []
            with self._lock:
                self._troubles += troubles
                for beat in beats:
                    del self._open[id(beat)]

    def _some(self) -> tuple[list[RecordedBeat], bool]:
        """The next beats, a moment after the first of them and no more than fit into one call; and whether more may
        come."""
        beats: list[RecordedBeat] = []
        until: float | None = None
        with suppress(Empty):
            while len(beats) < self._most:
                beat = self._waiting.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
                if beat is None:
                    return beats, False
                beats.append(beat)
                until = until or time.monotonic() + LINGER_SECONDS
        return beats, True
