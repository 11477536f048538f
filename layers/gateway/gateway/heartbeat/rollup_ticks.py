"""Rolls up the heartbeats of the providers that are due in a tick.

A provider is due every half hour, at a time that depends on its id only: 1,000 providers are spread over 60 ticks. A
roll-up that fails is made up for by the next one.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import batched

from gateway.heartbeat.health import MAX_CLOCK_SKEW
from gateway.heartbeat.history import EPOCH
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.rollup_items import Item, to_items
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.heartbeat.rollups import HALF_HOUR, next_window, roll_up, without_future
from gateway.heartbeat.side_effects import InternalFailure
from gateway.registry.provider import Provider, parse_timestamp

# A new provider is rolled up more often, so that a page shows its heartbeats soon.
FIRST_HOUR = timedelta(hours=1)
INTERVAL_IN_FIRST_HOUR = timedelta(minutes=5)
TICK_INTERVAL = timedelta(seconds=30)
# After a gap, a tick makes up for this time only. More would be all providers in one tick.
MAX_GAP = timedelta(minutes=2)
# Five items each: the limit of BatchGetItem is 100.
PROVIDERS_PER_GROUP = 20


class RollUps:
    """Rolls up providers. `now` returns the time, which ends a tick that takes too long."""

    def __init__(self, history: HistoryStore, store: RollUpStore, *, now: Callable[[], datetime]) -> None:
        self._history = history
        self._store = store
        self._now = now

    def run(self, providers: Sequence[Provider], end: datetime, deadline: datetime) -> list[InternalFailure]:
        """Rolls up the heartbeats before `end` and returns the failures. Starts nothing after the deadline."""
        groups = batched(providers, PROVIDERS_PER_GROUP, strict=False)
        return [failure for group in groups for failure in self._roll_up(group, end, deadline)]

    def _roll_up(self, providers: Sequence[Provider], end: datetime, deadline: datetime) -> list[InternalFailure]:
        """Rolls up a group. One provider may fail the whole group, so a failed group is split."""
        if self._now() >= deadline:
            return [not_written(provider) for provider in providers]
        try:
            self._store.write(self._items(providers, end))
        except Exception as error:  # noqa: BLE001 -- every error is a failure
            if len(providers) == 1:
                return [not_written(providers[0], error)]
            return [failure for provider in providers for failure in self._roll_up([provider], end, deadline)]
        return []

    def _items(self, providers: Sequence[Provider], end: datetime) -> Iterator[Item]:
        stored, now = self._store.roll_ups(providers, end), self._now()
        for provider in providers:
            before = stored[provider.id]
            if before.until is not None and before.until > now + MAX_CLOCK_SKEW:
                before = without_future(before, end)
            # A late run of an old tick must not replace a newer roll-up.
            if before.until is None or before.until <= end:
                window = next_window(before, end, created_at=provider.created_at, retention=self._history.retention)
                beats = self._history.between(provider, window.start, window.end, now=end)
                after, changed = roll_up(before, window, beats)
                yield from to_items(provider, after, window, changed)


def due(providers: Sequence[Provider], slot: datetime) -> list[Provider]:
    """Returns the providers whose time lies between the previous tick and this one.

    A second run of a tick has none, because the first one recorded heartbeats of the same slot.
    """
    previous = _previous_slot(providers, slot)
    return [provider for provider in providers if provider.created_at < slot and _is_due(provider, previous, slot)]


def not_written(provider: Provider, error: BaseException | None = None) -> InternalFailure:
    """Returns the failure of a roll-up."""
    return InternalFailure("roll-up not written", provider.id, error)


def _previous_slot(providers: Iterable[Provider], slot: datetime) -> datetime:
    """Returns the newest slot of a recorded heartbeat, but at least one of two minutes ago."""
    slots = (provider.health.last_heartbeat_slot for provider in providers)
    # A restored table may have slots in the future.
    past = [at for at in (parse_timestamp(text) for text in slots if text is not None) if at <= slot]
    return max(slot - MAX_GAP, max(past, default=slot - TICK_INTERVAL))


def _is_due(provider: Provider, previous: datetime, slot: datetime) -> bool:
    age = slot - provider.created_at
    if provider.health.last_heartbeat_slot is None and age < MAX_GAP:
        return True
    interval = INTERVAL_IN_FIRST_HOUR if age < FIRST_HOUR else HALF_HOUR
    # zlib.crc32 gives every process the same number. hash() does not.
    origin = EPOCH + timedelta(seconds=zlib.crc32(provider.id.encode()) % int(interval.total_seconds()))
    return (previous - origin) // interval < (slot - origin) // interval
