"""One tick: a beat of every enabled provider, each outcome written down once."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.heartbeat.check import Beat
from gateway.heartbeat.health import Outcome, RecordedBeat, counts, next_health
from gateway.heartbeat.side_effects import (
    InternalFailure,
    SideEffectQueue,
    SideEffects,
    events_not_published,
    not_written,
)
from gateway.registry.provider import Provider
from gateway.registry.store import ProviderStore

SECONDS = 23.0  # below the 25 s after which the workflow gives the tick up
MAX_AT_ONCE = 64
ATTEMPTS = 3
FOLLOW_SECONDS = 1.5  # at least, for what the last beats leave to be told

type Put = Callable[[RecordedBeat], object]


class WriteConflict(Exception):
    """Others wrote the provider at the same time, again and again."""


class _TooLate(Exception):
    """The beat ended after its tick: its outcome is dropped."""


@dataclass(frozen=True)
class TickResult:
    """What a tick came to. `failed`: the enabled providers that are failed after it. `oldest_beat_s` is 0 when no
    provider is enabled."""

    providers: int
    failed: int
    unfinished: int
    oldest_beat_s: float
    troubles: tuple[InternalFailure, ...]

    @property
    def not_written(self) -> int:
        """Beats that are missing in the registry or in the history."""
        return not_written(self.troubles)

    @property
    def events_not_published(self) -> int:
        """Changes of status that EventBridge did not take."""
        return events_not_published(self.troubles)


@dataclass(frozen=True)
class SingleBeat:
    """A beat outside the ticks: what it met, and the provider as it then is; None: it was deleted."""

    outcome: Outcome
    provider: Provider | None
    troubles: tuple[InternalFailure, ...]

    @property
    def lost(self) -> bool:
        """Whether the outcome is not in the registry, though it belongs there."""
        return any(trouble.what == "beat not written" for trouble in self.troubles)


class Ticker:
    """Beats providers and writes down what they answered. `follow` is told of each outcome that was written."""

    def __init__(
        self,
        providers: ProviderStore,
        beat: Beat,
        follow: SideEffects,
        *,
        now: Callable[[], datetime],
        seconds: float = SECONDS,
    ) -> None:
        self._providers = providers
        self._beat = beat
        self._follow = follow
        self._now = now
        self._seconds = seconds

    def tick(self, slot: str) -> TickResult:
        """Beats every enabled provider, the oldest beat first. One that is not done in time keeps its status."""
        until = self._now() + timedelta(seconds=self._seconds)
        enabled = sorted((p for p in self._providers.all() if p.heartbeat.enabled), key=_last_seen)
        outbox = SideEffectQueue(self._follow)
        pool = ThreadPoolExecutor(min(MAX_AT_ONCE, len(enabled) or 1), thread_name_prefix="beat")
        beats = {pool.submit(self._beat_until, provider, slot, until, outbox.put): provider for provider in enabled}
        done, _ = wait(beats, timeout=self._left(until))
        pool.shutdown(wait=False, cancel_futures=True)
        return self._result(beats, done, outbox.close(within=max(FOLLOW_SECONDS, self._left(until))))

    def beat_one(self, provider: Provider) -> SingleBeat:
        """Beats one provider outside the ticks, enabled or not, and writes the outcome down."""
        outcome = self._beat.run(provider, slot=None)
        written: list[RecordedBeat] = []
        try:
            after, troubles = self._write(provider, outcome, written.append), []
        except Exception as error:  # noqa: BLE001 -- told, with the outcome that is known
            after, troubles = provider, [InternalFailure("beat not written", provider.id, error)]
        return SingleBeat(outcome, after, (*troubles, *self._follow.up(written)))

    def _left(self, until: datetime) -> float:
        return max(0.0, (until - self._now()).total_seconds())

    def _beat_until(self, provider: Provider, slot: str, until: datetime, put: Put) -> Provider | None:
        outcome = self._beat.run(provider, slot=slot)
        # Lambda freezes what is not done when the handler returns; thawed in a later tick it would tell of the past.
        if self._now() > until:
            raise _TooLate
        return self._write(provider, outcome, put)

    def _write(self, provider: Provider, outcome: Outcome, put: Put) -> Provider | None:
        """Writes the outcome unless it is of the past: the provider deleted, registered anew or beaten since. Returns
        the provider as it then is, None when deleted. Raises WriteConflict, and DynamoDB's own errors."""
        known: Provider | None = provider
        for _ in range(ATTEMPTS):
            if known is None or known.version != provider.version or not counts(known.health, outcome):
                return known
            written = RecordedBeat(known, outcome, next_health(known.health, outcome))
            if not self._providers.record_beat(known, written.after):
                known = self._providers.find(provider.id)
                if known is None or known.health != written.after:
                    continue
                # Else it is ours: the answer to the first try was lost, and boto3 tried again by itself.
            put(written)
            return replace(written.before, health=written.after)
        raise WriteConflict

    def _result(
        self,
        beats: dict[Future[Provider | None], Provider],
        done: set[Future[Provider | None]],
        troubles: list[InternalFailure],
    ) -> TickResult:
        done = {future for future in done if not isinstance(future.exception(), _TooLate)}
        errors = {future: error for future in done if (error := future.exception()) is not None}
        lost = [InternalFailure("beat not written", beats[future].id, error) for future, error in errors.items()]
        known = [future.result() if future in done - errors.keys() else before for future, before in beats.items()]
        enabled = [provider for provider in known if provider is not None and provider.heartbeat.enabled]
        now = self._now()
        return TickResult(
            providers=len(beats),
            failed=sum(provider.health.status == "failed" for provider in enabled),
            unfinished=len(beats) - len(done),
            oldest_beat_s=max(((now - _last_seen(provider)).total_seconds() for provider in enabled), default=0.0),
            troubles=(*lost, *troubles),
        )


def _last_seen(provider: Provider) -> datetime:
    return provider.health.last_heartbeat_at or provider.created_at
