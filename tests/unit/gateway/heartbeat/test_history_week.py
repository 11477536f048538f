"""A week of ticks with a moved clock: ten providers and three outages, compared with the raw outcomes.

Ticks run every four hours, and every 30 seconds around the ends of an outage. Some run twice, as Step Functions Express
may do. The stores' tables are in memory.
"""

import json
import math
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, groupby, islice
from typing import Any, cast

import pytest

from gateway.api.status_routes import StatusRoutes
from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.heartbeat.rollup_ticks import RollUps
from gateway.heartbeat.rollups import Incident
from gateway.heartbeat.summaries import Period, ProviderHistory
from gateway.heartbeat.ticker import Ticker
from gateway.registry.overview import ProviderOverview
from gateway.registry.provider import Provider, format_timestamp
from gateway.status.badge import MEASURES
from gateway.status.page import Page
from gateway.status.reader import StatusReader
from tests.status_site import status_event
from tests.unit.gateway.builders import WEEK, a_provider
from tests.unit.gateway.memory_table import MemoryProviders, MemoryTable
from tests.unit.gateway.ticking import Events

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
REGULAR = [MONDAY + timedelta(hours=hour, minutes=MINUTES_PAST_THE_HOUR) for hour in range(0, 7 * 24, STEP_HOURS)]
# The slot of the last roll-up.
ROLLED_UP_UNTIL = REGULAR[-1]
HALF_HOURS_OF_A_DAY = timedelta(minutes=47 * 30)


def slots() -> list[datetime]:
    ends = [end for begin, end, _ in OUTAGES.values()] + [begin for begin, _, _ in OUTAGES.values()]
    dense = {MONDAY + end + timedelta(seconds=30) * number for end in ends for number in range(-2, 3)}
    # Just before and just after the beginning of the last 48 half hours.
    edge = {ROLLED_UP_UNTIL - timedelta(hours=23, minutes=minutes) for minutes in (40, 35, 25, 15)}
    return sorted(slot for slot in {*REGULAR, *dense, *edge} if slot < MONDAY + timedelta(days=7))


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


@dataclass(frozen=True)
class Week:
    """The stores after all ticks of a week, and the raw outcomes by provider."""

    time: datetime
    outcomes: dict[str, list[Outcome]]
    providers: list[Provider]
    roll_ups: RollUpStore
    raw_roll_ups: MemoryTable
    changed_by_second_runs: list[str]

    def rolled_up(self, provider: Provider) -> list[Outcome]:
        return [outcome for outcome in self.outcomes[provider.id] if outcome.started_at < ROLLED_UP_UNTIL]

    def of_period(self, provider: Provider, period: Period) -> list[Outcome]:
        """Returns the outcomes of a period. Only one of 24 hours is shorter than the week."""
        half_hour = self.time.replace(minute=self.time.minute // 30 * 30, second=0, microsecond=0)
        since = half_hour - HALF_HOURS_OF_A_DAY if period == "24h" else MONDAY
        return [outcome for outcome in self.rolled_up(provider) if outcome.started_at >= since]


@pytest.fixture(scope="module")
def week() -> Week:
    providers = MemoryProviders(a_provider(id=id_, created_at=MONDAY - timedelta(days=100)) for id_ in IDS)
    heartbeats, roll_up_table = MemoryTable("heartbeats", "at"), MemoryTable("roll-ups", "entry")
    history, roll_ups = HistoryStore(cast("Any", heartbeats), retention=WEEK), RollUpStore(cast("Any", roll_up_table))
    world, events, changed = World(), Events(), []
    ticker = Ticker(
        providers.as_store(),
        world,
        events.side_effects(history, []),
        now=world.now,
        roll_ups=RollUps(history, roll_ups, now=world.now),
        seconds=600,
    )
    for number, slot in enumerate(slots()):
        before: list[Any] = []
        for runs in range(2 if number % 5 == 0 else 1):
            world.time = slot + timedelta(seconds=1 + 5 * runs)
            assert ticker.tick(format_timestamp(slot)).failures == ()
            after = [dict(heartbeats.items), dict(roll_up_table.items), providers.all(), len(events.accepted)]
            changed += [str(slot)] if runs and after != before else []
            before = after
    outcomes = {id_: list(by_slot.values()) for id_, by_slot in world.outcomes.items()}
    return Week(world.time, outcomes, providers.all(), roll_ups, roll_up_table, changed)


@pytest.fixture(scope="module")
def histories(week: Week) -> dict[str, ProviderHistory]:
    return week.roll_ups.read_summaries(week.providers, week.time)


def test_a_second_run_of_a_tick_changes_nothing(week: Week) -> None:
    assert week.changed_by_second_runs == []


def test_uptime_of_a_week_equals_the_raw_outcomes(week: Week, histories: dict[str, ProviderHistory]) -> None:
    periods: tuple[Period, ...] = ("24h", "7d", "30d", "90d")
    for provider in week.providers:
        assert histories[provider.id].until == ROLLED_UP_UNTIL
        for period in periods:
            uptime, expected = histories[provider.id].uptime[period], week.of_period(provider, period)
            good = good_latencies(expected)
            assert (uptime.beats, uptime.good) == (len(expected), len(good)), (provider.id, period)
            for percent, value in ((50, uptime.p50_ms), (95, uptime.p95_ms)):
                assert value == pytest.approx(percentile(good, percent), rel=0.05)


def test_days_of_a_week_equal_the_raw_outcomes(week: Week, histories: dict[str, ProviderHistory]) -> None:
    for provider in week.providers:
        outcomes = week.rolled_up(provider)
        days = histories[provider.id].days[-7:]
        assert [day.date for day in days] == [(MONDAY + timedelta(days=number)).date() for number in range(7)]
        assert [day.beats for day in days] == [
            sum(outcome.started_at.date() == day.date for outcome in outcomes) for day in days
        ]


def test_incidents_of_a_week_equal_the_raw_outcomes(week: Week, histories: dict[str, ProviderHistory]) -> None:
    for provider in week.providers:
        incidents = week.roll_ups.incidents(provider, limit=9, before=None, now=week.time).items
        assert incidents == reference_incidents(week.rolled_up(provider))
        assert tuple(incidents) == histories[provider.id].incidents
        # A page before a moment does not use the current status.
        stored = week.roll_ups.incidents(provider, limit=9, before=week.time, now=week.time).items
        assert stored == incidents
    assert sum(len(history.incidents) for history in histories.values()) == len(OUTAGES)


@pytest.mark.parametrize("measure", MEASURES)
def test_badges_of_a_week_equal_the_raw_outcomes(week: Week, measure: str) -> None:
    overviews = [ProviderOverview(each.id, each.name, each.created_at, each.health) for each in week.providers]
    reader = StatusReader(lambda: overviews, week.roll_ups.read_summaries)
    routes = StatusRoutes("public", Page("", {}), reader)
    for provider in week.providers:
        event = status_event(f"/status/public/{provider.id}/shields.json?of={measure}")
        message = str(json.loads(routes.answer(event, {}, week.time)["body"])["message"])
        if measure == "response_time":
            median = percentile(good_latencies(week.of_period(provider, "24h")), 50)
            # The histogram's error, and the rounding.
            assert int(message.removesuffix(" ms")) == pytest.approx(median, rel=0.05, abs=1)
        else:
            assert message == reference_badge(week, provider, measure), (provider.id, measure)


def reference_badge(week: Week, provider: Provider, measure: str) -> str:
    """Returns the text of a badge of the status or of an uptime, which is rounded down to a hundredth."""
    if measure == "status":
        return "failed" if week.outcomes[provider.id][-1].error else "healthy"
    outcomes = week.of_period(provider, cast("Period", measure.removeprefix("uptime_")))
    hundredths = len(good_latencies(outcomes)) * 10_000 // len(outcomes)
    return "100%" if hundredths == 10_000 else f"{hundredths // 100}.{hundredths % 100:02}%"


def good_latencies(outcomes: list[Outcome]) -> list[int]:
    return sorted(outcome.latency_ms for outcome in outcomes if outcome.error is None)


def percentile(values: list[int], percent: int) -> int:
    """Returns the nearest-rank percentile of sorted values."""
    return values[math.ceil(len(values) * percent / 100) - 1]


def reference_incidents(outcomes: list[Outcome]) -> list[Incident]:
    """Returns each series of failures, newest first. No two begin on one day."""
    series = [list(group) for _, group in groupby(outcomes, key=lambda outcome: outcome.error is None)]
    ends = [group[0].started_at for group in series[1:]] + [None]
    return [
        Incident(group[0].started_at, end, group[0].error)
        for group, end in reversed(list(zip(series, ends, strict=True)))
        if group[0].error
    ]
