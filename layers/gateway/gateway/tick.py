"""One tick: a beat of every enabled provider, each outcome written down once."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.beat import Beat
from gateway.health import Outcome, counts, next_health
from gateway.heartbeats import Heartbeats
from gateway.providers import Providers
from gateway.records import Health, Provider

SECONDS = 23.0  # below the 25 s after which the workflow gives the tick up
MOST_AT_ONCE = 64
ATTEMPTS = 3

OnBeat = Callable[[Provider, Outcome, Health], None]


@dataclass(frozen=True)
class TickResult:
    """What a tick came to. `troubles` are failures of our own; `oldest_beat_s` is None when no provider is enabled."""

    providers: int
    failed: int
    unfinished: int
    oldest_beat_s: float | None
    troubles: tuple[BaseException, ...]


class Ticker:
    """Beats providers and writes down what they answered. `on_beat` hears of each outcome that was written."""

    def __init__(
        self,
        providers: Providers,
        heartbeats: Heartbeats,
        beat: Beat,
        on_beat: OnBeat,
        *,
        now: Callable[[], datetime],
        seconds: float = SECONDS,
    ) -> None:
        self._providers = providers
        self._heartbeats = heartbeats
        self._beat = beat
        self._on_beat = on_beat
        self._now = now
        self._seconds = seconds

    def tick(self, slot: str) -> TickResult:
        """Beats every enabled provider, the oldest beat first. One that is not done in time keeps its status."""
        enabled = sorted((p for p in self._providers.all() if p.heartbeat.enabled), key=_last_seen)
        pool = ThreadPoolExecutor(min(MOST_AT_ONCE, len(enabled) or 1), thread_name_prefix="beat")
        until = self._now() + timedelta(seconds=self._seconds)
        beats = {pool.submit(self._beat_until, provider, slot, until): provider for provider in enabled}
        done, _ = wait(beats, timeout=self._seconds)
        pool.shutdown(wait=False, cancel_futures=True)
        return self._result(beats, done)

    def beat_one(self, provider: Provider) -> Provider:
        """Beats one provider outside the ticks and writes the outcome down. Returns the provider as it then is."""
        return self._write(provider, self._beat.run(provider, slot=None))

    def _beat_until(self, provider: Provider, slot: str, until: datetime) -> Provider:
        outcome = self._beat.run(provider, slot=slot)
        # Lambda freezes what is not done when the handler returns; thawed in a later tick it would tell of the past.
        return provider if self._now() > until else self._write(provider, outcome)

    def _write(self, provider: Provider, outcome: Outcome) -> Provider:
        known: Provider | None = provider
        for _ in range(ATTEMPTS):
            if known is None or known.version != provider.version or not counts(known.health, outcome):
                break  # deleted, registered anew or beaten since: this outcome is of the past
            after = next_health(known.health, outcome)
            if self._providers.record_beat(known, after):
                self._on_beat(known, outcome, after)
                self._heartbeats.add(provider.id, outcome)
                return replace(known, health=after)
            known = self._providers.find(provider.id)
        return known or provider

    def _result(self, beats: dict[Future[Provider], Provider], done: set[Future[Provider]]) -> TickResult:
        troubles = tuple(error for error in (future.exception() for future in done) if error is not None)
        good = {future for future in done if future.exception() is None}
        after = [future.result() if future in good else before for future, before in beats.items()]
        now = self._now()
        return TickResult(
            providers=len(beats),
            failed=sum(provider.health.status == "failed" for provider in after),
            unfinished=len(beats) - len(good),
            oldest_beat_s=max(((now - _last_seen(provider)).total_seconds() for provider in after), default=None),
            troubles=troubles,
        )


def _last_seen(provider: Provider) -> datetime:
    return provider.health.last_heartbeat_at or provider.created_at
