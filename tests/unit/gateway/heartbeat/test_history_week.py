"""A week of ticks with a moved clock: ten providers and three outages, compared with the raw outcomes.

Ticks run every four hours, and every 30 seconds around the ends of an outage. Some run twice, as Step Functions Express
may do.
"""

import math
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, groupby, islice

import pytest

from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.heartbeat.summaries import Period
from gateway.heartbeat.ticker import Ticker
from gateway.registry.provider import Provider, format_timestamp
from tests.unit.gateway.ticking import System

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
STEP_HOURS = 4
MINUTES_PAST_THE_HOUR = 7
# A tick makes up for two minutes, so all these providers are due in each one of those every four hours.
DUE = range(60 * (MINUTES_PAST_THE_HOUR - 2) + 10, 60 * MINUTES_PAST_THE_HOUR)
IDS = list(islice((id_ for id_ in map("p{}".format, count()) if zlib.crc32(id_.encode()) % 1800 in DUE), 10))
OUTAGES = {
    IDS[0]: (timedelta(days=1, hours=3, minutes=10), timedelta(days=1, hours=3, minutes=14), "dead model key"),
    # Over midnight.
    IDS[1]: (timedelta(days=3, hours=22), timedelta(days=4, hours=9), "no eligible models"),
    # Still failed at the end.
    IDS[2]: (timedelta(days=6, hours=20), timedelta(days=99), "vault locked"),
}


def slots() -> list[datetime]:
    regular = {MONDAY + timedelta(hours=hour, minutes=MINUTES_PAST_THE_HOUR) for hour in range(0, 7 * 24, STEP_HOURS)}
    ends = [end for begin, end, _ in OUTAGES.values()] + [begin for begin, _, _ in OUTAGES.values()]
    dense = {MONDAY + end + timedelta(seconds=30) * number for end in ends for number in range(-2, 3)}
    return sorted(slot for slot in regular | dense if slot < MONDAY + timedelta(days=7))


@dataclass
class World(HeartbeatCheck):
    """The clock, and a check whose outcome depends on the time and the provider. `outcomes` has those that it made."""

    time: datetime = MONDAY
    outcomes: defaultdict[str, dict[str, Outcome]] = field(default_factory=lambda: defaultdict(dict))

    def now(self) -> datetime:
        return self.time

    def run(self, provider: Provider, *, slot: str | None) -> Outcome:
        begin, end, cause = OUTAGES.get(provider.id, (timedelta.max, timedelta.max, ""))
        noise = zlib.crc32(f"{provider.id} {slot}".encode())
        error = cause if begin <= self.time - MONDAY < end else None
        outcome = Outcome(self.time + timedelta(microseconds=noise % 1000), 50 + noise % 3000, error, slot=slot)
        # A second run of a tick must not be counted.
        self.outcomes[provider.id].setdefault(str(slot), outcome)
        return outcome


def run_week(system: System) -> Iterator[World]:
    """Runs all ticks and yields after each one."""
    system.add(*IDS, created_at=MONDAY - timedelta(days=100))
    world = World()
    ticker = Ticker(
        system.providers, world, system.side_effects(), now=world.now, roll_ups=system.roll_ups(world.now), seconds=600
    )
    for number, slot in enumerate(slots()):
        for runs in range(2 if number % 5 == 0 else 1):
            world.time = slot + timedelta(seconds=1 + 5 * runs)
            assert ticker.tick(format_timestamp(slot)).failures == ()
        yield world


@pytest.mark.timeout(300)
def test_a_week_of_ticks_equals_the_raw_outcomes(system: System) -> None:
    [*_, world] = run_week(system)
    providers = [system.providers.get(id_) for id_ in IDS]
    store = RollUpStore(system.aws.roll_ups)
    histories = store.read_summaries(providers, world.time)
    for provider in providers:
        history = histories[provider.id]
        assert history.until is not None
        outcomes = [outcome for outcome in world.outcomes[provider.id].values() if outcome.started_at < history.until]
        recent = [outcome for outcome in outcomes if outcome.started_at >= history.cells[0].start]
        periods: dict[Period, list[Outcome]] = {"24h": recent, "7d": outcomes, "90d": outcomes}
        for period, expected in periods.items():
            uptime = history.uptime[period]
            good = sorted(outcome.latency_ms for outcome in expected if outcome.error is None)
            assert (uptime.beats, uptime.good) == (len(expected), len(good)), (provider.id, period)
            for percent, value in ((50, uptime.p50_ms), (95, uptime.p95_ms)):
                assert value == pytest.approx(good[math.ceil(len(good) * percent / 100) - 1], rel=0.05)
        assert [day.beats for day in history.days[-7:]] == [
            sum(outcome.started_at.date() == day.date for outcome in outcomes) for day in history.days[-7:]
        ]
        incidents = store.incidents(provider, limit=9, before=None, now=world.time).items
        assert [(i.begin, i.end, i.cause) for i in incidents] == reference_incidents(outcomes)
        assert tuple(incidents) == history.incidents
    assert sum(len(history.incidents) for history in histories.values()) == len(OUTAGES)


def reference_incidents(outcomes: list[Outcome]) -> list[tuple[datetime, datetime | None, str]]:
    """Returns (begin, end, cause) of each series of failures, newest first."""
    series = [list(group) for _, group in groupby(outcomes, key=lambda outcome: outcome.error is None)]
    ends = [group[0].started_at for group in series[1:]] + [None]
    incidents = [
        (group[0].started_at, end, group[0].error) for group, end in zip(series, ends, strict=True) if group[0].error
    ]
    return [(begin, end, str(error)) for begin, end, error in reversed(incidents)]
