"""Runs the side effects of a tick's heartbeats in batches and in background threads.

A thousand heartbeats then take forty calls to DynamoDB, and no heartbeat waits for the side effects of another.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from gateway.heartbeat.batches import MAX_ITEMS_PER_CALL
from gateway.heartbeat.events import MAX_EVENTS_PER_CALL
from gateway.heartbeat.health import RecordedBeat
from gateway.heartbeat.side_effects import FailureKind, InternalFailure, SideEffects

# A batch waits this long for more heartbeats after its first one.
LINGER_SECONDS = 0.2


class SideEffectQueue:
    """Accepts the heartbeats of one tick from many threads.

    History and events have a thread each, so that an EventBridge that hangs does not delay the history.
    """

    def __init__(self, side_effects: SideEffects) -> None:
        self._side_effects = side_effects
        self._lock = Lock()
        self._closed = False
        self._failures: list[InternalFailure] = []
        self._history = _BatchWorker(side_effects.store_history, MAX_ITEMS_PER_CALL, "history not written")
        self._events = _BatchWorker(side_effects.publish_events, MAX_EVENTS_PER_CALL, "event not published")

    def put(self, beat: RecordedBeat) -> None:
        """Notifies the listener and queues the other side effects. Once closed, runs all of them in this thread."""
        with self._lock:
            if not self._closed:
                self._failures += self._side_effects.notify(beat)
                self._history.put(beat)
                if beat.has_events:
                    self._events.put(beat)
                return
        self._side_effects.on_late_failures(self._side_effects.run([beat]))

    def close(self, within: float) -> list[InternalFailure]:
        """Waits up to `within` seconds for the queued side effects and returns all failures.

        A side effect that has not ended by then counts as failed.
        """
        deadline = time.monotonic() + within
        with self._lock:
            self._closed = True
        return [*self._failures, *self._history.close(deadline), *self._events.close(deadline)]


class _BatchWorker:
    """Calls `process` in a background thread with batches of up to `max_batch` heartbeats.

    `unfinished` is the kind of failure of a heartbeat that is still queued or in progress when the worker is closed.
    """

    def __init__(
        self,
        process: Callable[[Sequence[RecordedBeat]], list[InternalFailure]],
        max_batch: int,
        unfinished: FailureKind,
    ) -> None:
        self._process = process
        self._max_batch = max_batch
        self._unfinished_kind = unfinished
        # None ends the thread.
        self._queue: SimpleQueue[RecordedBeat | None] = SimpleQueue()
        self._lock = Lock()
        # The heartbeats that are queued or in progress, by identity.
        self._unfinished: dict[int, RecordedBeat] = {}
        self._failures: list[InternalFailure] = []
        self._thread = Thread(target=self._run, name="side-effects", daemon=True)
        self._thread.start()

    def put(self, beat: RecordedBeat) -> None:
        with self._lock:
            self._unfinished[id(beat)] = beat
        self._queue.put(beat)

    def close(self, deadline: float) -> list[InternalFailure]:
        """Waits until all heartbeats are processed or the monotonic clock reaches `deadline`. Returns the failures."""
        self._queue.put(None)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._discard_queued()
        with self._lock:
            unfinished = [InternalFailure(self._unfinished_kind, beat.before.id) for beat in self._unfinished.values()]
            return [*self._failures, *unfinished]

    def _discard_queued(self) -> None:
        with suppress(Empty):
            while self._queue.get_nowait() is not None:
                pass
            # This loop took the None that the thread still needs.
            self._queue.put(None)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._next_batch()
            failures = self._process(batch) if batch else []
            with self._lock:
                self._failures += failures
                for beat in batch:
                    del self._unfinished[id(beat)]

    def _next_batch(self) -> tuple[list[RecordedBeat], bool]:
        """Waits for a heartbeat. Returns it with those of the next LINGER_SECONDS, and whether the queue ended."""
        batch: list[RecordedBeat] = []
        deadline: float | None = None
        with suppress(Empty):
            while len(batch) < self._max_batch:
                beat = self._queue.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
                if beat is None:
                    return batch, True
                batch.append(beat)
                deadline = deadline or time.monotonic() + LINGER_SECONDS
        return batch, False
