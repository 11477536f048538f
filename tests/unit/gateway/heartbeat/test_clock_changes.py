"""Ticks while the clock is moved two days forward and back again. Health, history, roll-ups and incidents continue."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.heartbeat.rollup_ticks import RollUps
from gateway.heartbeat.ticker import Ticker
from gateway.registry.provider import Provider, format_timestamp, is_stale
from tests.unit.gateway.builders import WEEK, a_provider
from tests.unit.gateway.memory_table import MemoryProviders, MemoryTable
from tests.unit.gateway.ticking import Events

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
FORWARD = timedelta(days=2)
TICK = timedelta(seconds=30)
# Long enough for one roll-up, which is due every half hour.
TICKS = 62


class Check(HeartbeatCheck):
    """Succeeds unless `error` is set. `time` is the clock of the whole system."""

    def __init__(self) -> None:
        self.time = NOON
        self.error: str | None = None

    def now(self) -> datetime:
        return self.time

    def run(self, _provider: Provider, *, slot: str | None) -> Outcome:
        return Outcome(self.time, 100, self.error, slot=slot)


@dataclass
class Run:
    """One provider and its ticks."""

    check: Check
    providers: MemoryProviders
    ticker: Ticker
    history: HistoryStore
    store: RollUpStore
    events: Events

    @property
    def provider(self) -> Provider:
        return self.providers.all()[0]

    def tick(self, count: int = TICKS) -> None:
        """Runs this many ticks. Each one must record its heartbeat."""
        for _ in range(count):
            self.check.time += TICK
            assert self.ticker.tick(format_timestamp(self.check.time)).failures == ()
            assert self.provider.health.last_heartbeat_at == self.check.time

    def beats_of_24_hours(self) -> int:
        """Returns the number of heartbeats that the status page shows."""
        return self.store.read_summaries([self.provider], self.check.time)["main"].uptime["24h"].beats


@pytest.fixture
def run() -> Run:
    heartbeats, roll_ups = MemoryTable("heartbeats", "at"), MemoryTable("roll-ups", "entry")
    history, store = HistoryStore(cast("Any", heartbeats), retention=WEEK), RollUpStore(cast("Any", roll_ups))
    check, events = Check(), Events()
    providers = MemoryProviders([a_provider(id="main", created_at=NOON - timedelta(days=3))])
    side_effects = events.side_effects(history, [])
    rolled_up = RollUps(history, store, now=check.now)
    ticker = Ticker(providers.as_store(), check, side_effects, now=check.now, roll_ups=rolled_up, seconds=600)
    return Run(check, providers, ticker, history, store, events)


def test_heartbeats_are_recorded_and_rolled_up_after_each_change(run: Run) -> None:
    run.tick()
    before = run.beats_of_24_hours()
    run.check.time += FORWARD
    assert is_stale(run.provider.health.last_heartbeat_at or NOON, run.check.time)
    run.tick()
    assert 0 < run.beats_of_24_hours() <= TICKS

    run.check.time -= FORWARD
    assert is_stale(run.provider.health.last_heartbeat_at or NOON, run.check.time)
    run.tick()

    assert not is_stale(run.provider.health.last_heartbeat_at or NOON, run.check.time)
    assert before < run.beats_of_24_hours() <= 3 * TICKS


def test_an_outage_while_the_clock_is_ahead_ends_once(run: Run) -> None:
    run.tick()
    run.check.time += FORWARD
    run.check.error = "all providers failed"
    run.tick()
    run.check.time -= FORWARD
    run.check.error = None
    run.tick()

    # The first heartbeat changes the status, too.
    changes = [(event["old_status"], event["new_status"]) for event in run.events.accepted]
    assert changes[-2:] == [("healthy", "failed"), ("failed", "healthy")]
    shown = run.store.read_summaries([run.provider], run.check.time)["main"].incidents
    assert [incident for incident in shown if incident.end is None] == []


def test_history_has_each_heartbeat_once_after_each_change(run: Run) -> None:
    run.tick(3)
    run.check.time += FORWARD
    run.tick(3)
    run.check.time -= FORWARD
    run.tick(3)

    page = run.history.page(run.provider, limit=100, before=None, now=run.check.time)

    assert [beat.at - NOON for beat in page.items] == [
        *(FORWARD + TICK * number for number in (6, 5, 4)),
        *(TICK * number for number in (9, 8, 7, 3, 2, 1)),
    ]
