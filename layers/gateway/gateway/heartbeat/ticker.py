"""Checks every enabled provider in a tick, or a single provider, and records the outcome of each heartbeat once."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.core.background import begin
from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome, RecordedBeat, is_newer_beat, next_health
from gateway.heartbeat.rollup_ticks import RollUps, due, not_written
from gateway.heartbeat.side_effect_queue import SideEffectQueue
from gateway.heartbeat.side_effects import InternalFailure, SideEffects, count_not_published, count_not_written
from gateway.registry.provider import Provider, parse_timestamp
from gateway.registry.store import ProviderStore

# Less than the 25 s after which the workflow gives the tick up.
TIMEOUT_SECONDS = 23.0
# The last heartbeats of a tick have at least this long for their side effects.
MIN_SIDE_EFFECT_SECONDS = 1.5
MAX_CONCURRENT_BEATS = 64
MAX_WRITE_ATTEMPTS = 3

type OnRecorded = Callable[[RecordedBeat], object]


class WriteConflict(Exception):
    """Concurrent writes of the provider made every attempt to record a heartbeat fail."""


class _TickEnded(Exception):
    """The heartbeat ended after its tick. Its outcome is dropped."""


@dataclass(frozen=True)
class TickResult:
    """The result of a tick.

    `providers` counts the enabled providers before it, `failed` those that are enabled, failed and not muted after it,
    and `unfinished` the heartbeats that did not end in time. `oldest_beat_s` is the age of the oldest last heartbeat in
    seconds, 0 without enabled providers. `substituted` counts the enabled providers whose model is substituted.
    """

    providers: int
    failed: int
    unfinished: int
    oldest_beat_s: float
    failures: tuple[InternalFailure, ...]
    substituted: int = 0

    @property
    def not_written(self) -> int:
        """The number of heartbeats that are missing in the registry or in the history, and of missing roll-ups."""
        return count_not_written(self.failures)

    @property
    def events_not_published(self) -> int:
        """The number of changes of status that EventBridge did not accept."""
        return count_not_published(self.failures)


@dataclass(frozen=True)
class SingleBeat:
    """A heartbeat outside the ticks. `provider` is the provider after it, or None if it was deleted meanwhile."""

    outcome: Outcome
    provider: Provider | None
    failures: tuple[InternalFailure, ...]

    @property
    def not_recorded(self) -> bool:
        """Whether the registry lacks the outcome because of a failure."""
        return any(failure.kind == "beat not written" for failure in self.failures)


class Ticker:
    """Checks providers, records the outcomes in the registry and runs their side effects."""

    def __init__(
        self,
        providers: ProviderStore,
        check: HeartbeatCheck,
        side_effects: SideEffects,
        *,
        now: Callable[[], datetime],
        roll_ups: RollUps | None = None,
        seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._providers = providers
        self._check = check
        self._side_effects = side_effects
        self._now = now
        self._roll_ups = roll_ups
        self._seconds = seconds

    def tick(self, slot: str) -> TickResult:
        """Checks every enabled provider, the one with the oldest heartbeat first, and rolls up those that are due.

        A provider whose heartbeat does not end in time keeps its status.
        """
        deadline = self._now() + timedelta(seconds=self._seconds)
        enabled = sorted((p for p in self._providers.all() if p.heartbeat.enabled), key=_last_beat_or_creation)
        finish_roll_ups = self._start_roll_ups(enabled, slot, deadline)
        queue = SideEffectQueue(self._side_effects)
        pool = ThreadPoolExecutor(min(MAX_CONCURRENT_BEATS, len(enabled) or 1), thread_name_prefix="beat")
        beats = {pool.submit(self._beat_in_tick, each, slot, deadline, queue.put): each for each in enabled}
        done, _ = wait(beats, timeout=self._seconds_until(deadline))
        pool.shutdown(wait=False, cancel_futures=True)
        failures = queue.close(within=max(MIN_SIDE_EFFECT_SECONDS, self._seconds_until(deadline)))
        return self._result(beats, done, [*failures, *finish_roll_ups()])

    def beat_one(self, provider: Provider) -> SingleBeat:
        """Checks one provider outside the ticks, even if its heartbeat is disabled, and records the outcome."""
        outcome = self._check.run(provider, slot=None)
        recorded: list[RecordedBeat] = []
        try:
            after, failures = self._record(provider, outcome, recorded.append), []
        except Exception as error:  # noqa: BLE001 -- returned together with the outcome
            after, failures = provider, [InternalFailure("beat not written", provider.id, error)]
        return SingleBeat(outcome, after, (*failures, *self._side_effects.run(recorded)))

    def _start_roll_ups(
        self, enabled: list[Provider], slot: str, deadline: datetime
    ) -> Callable[[], list[InternalFailure]]:
        """Rolls up beside the heartbeats, which may take the whole tick. The result waits and returns the failures."""
        roll_ups, end = self._roll_ups, parse_timestamp(slot)
        providers = due(enabled, end) if roll_ups else []
        if roll_ups is None or not providers:
            return list
        failures = begin(lambda: roll_ups.run(providers, end, deadline), "roll-ups")

        def finish() -> list[InternalFailure]:
            try:
                return failures.result(timeout=self._seconds_until(deadline))
            except TimeoutError:
                return [not_written(provider) for provider in providers]

        return finish

    def _seconds_until(self, deadline: datetime) -> float:
        return max(0.0, (deadline - self._now()).total_seconds())

    def _beat_in_tick(
        self, provider: Provider, slot: str, deadline: datetime, on_recorded: OnRecorded
    ) -> Provider | None:
        outcome = self._check.run(provider, slot=slot)
        # Lambda freezes this thread when the handler returns. Thawed in a later tick, it would record an old outcome.
        if self._now() > deadline:
            raise _TickEnded
        return self._record(provider, outcome, on_recorded)

    def _record(self, provider: Provider, outcome: Outcome, on_recorded: OnRecorded) -> Provider | None:
        """Records an outcome and returns the provider as it is now, or None if it was deleted.

        Drops the outcome if the provider was deleted, registered again or checked since. Calls `on_recorded` otherwise.
        Raises WriteConflict and DynamoDB's errors.
        """
        current: Provider | None = provider
        for _ in range(MAX_WRITE_ATTEMPTS):
            if current is None or current.version != provider.version:
                return current
            if not is_newer_beat(current.health, outcome, now=self._now()):
                return current
            beat = RecordedBeat(current, outcome, next_health(current.health, outcome))
            if not self._providers.record_beat(current, beat.after):
                current = self._providers.find(provider.id)
                if current is None or current.health != beat.after:
                    continue
                # The answer to the first write was lost, and its retry conflicted with it: the outcome is recorded.
            on_recorded(beat)
            return replace(beat.before, health=beat.after)
        raise WriteConflict

    def _result(
        self,
        beats: dict[Future[Provider | None], Provider],
        done: set[Future[Provider | None]],
        failures: list[InternalFailure],
    ) -> TickResult:
        finished = {future for future in done if not isinstance(future.exception(), _TickEnded)}
        errors = {future: error for future in finished if (error := future.exception()) is not None}
        not_written = [InternalFailure("beat not written", beats[future].id, error) for future, error in errors.items()]
        recorded = finished - errors.keys()
        current = [future.result() if future in recorded else before for future, before in beats.items()]
        enabled = [provider for provider in current if provider is not None and provider.heartbeat.enabled]
        now = self._now()
        ages = [(now - _last_beat_or_creation(provider)).total_seconds() for provider in enabled]
        return TickResult(
            providers=len(beats),
            failed=sum(provider.health.status == "failed" and not provider.is_muted(now) for provider in enabled),
            unfinished=len(beats) - len(finished),
            oldest_beat_s=max(ages, default=0.0),
            failures=(*not_written, *failures),
            substituted=sum(provider.health.last_heartbeat_warning is not None for provider in enabled),
        )


def _last_beat_or_creation(provider: Provider) -> datetime:
    return provider.health.last_heartbeat_at or provider.created_at
