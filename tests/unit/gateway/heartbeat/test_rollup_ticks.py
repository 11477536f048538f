from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.rollup_items import Item
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.heartbeat.rollup_ticks import RollUps, due
from gateway.heartbeat.side_effects import InternalFailure
from gateway.heartbeat.ticker import Ticker
from gateway.registry.provider import Health, HeartbeatSettings, Provider, format_timestamp
from tests.conftest import Aws
from tests.unit.gateway.builders import WEEK, a_provider, an_outcome
from tests.unit.gateway.ticking import ScriptedCheck, System, make_roll_ups

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
OLD = NOON - timedelta(days=3)
LATER = NOON + timedelta(minutes=1)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def ticked(id_: str, slot: datetime | None, **changes: Any) -> Provider:
    """A provider with a recorded heartbeat of this slot."""
    health = Health("healthy", last_heartbeat_slot=None if slot is None else format_timestamp(slot))
    return a_provider(id=id_, **{"created_at": OLD, "health": health} | changes)


def due_ids(ids: Sequence[str], previous: datetime | None, slot: datetime, **changes: Any) -> list[str]:
    provider = ticked("", previous, **changes)
    return [provider.id for provider in due([replace(provider, id=id_) for id_ in ids], slot)]


IDS = [f"p{number}" for number in range(1000)]


def test_every_provider_is_due_once_in_half_an_hour() -> None:
    ticks = [due_ids(IDS, at(30 * tick), at(30 * tick + 30)) for tick in range(60)]
    assert Counter(id_ for ids in ticks for id_ in ids) == dict.fromkeys(IDS, 1)
    assert max(map(len, ticks)) < 40


def test_irregular_ticks_skip_no_provider() -> None:
    """A workflow starts up to a second early or late, and a start may be missing."""
    times = [0.0, 29.2, 61.5, 119.9, 150.0]
    ticks = [due_ids(IDS, at(a), at(b)) for a, b in pairwise(times)]
    assert sorted(id_ for ids in ticks for id_ in ids) == sorted(
        due_ids(IDS, at(0), at(100)) + due_ids(IDS, at(100), at(150))
    )


def test_a_gap_does_not_make_all_providers_due() -> None:
    assert 0 < len(due_ids(IDS, at(-7200), at(0))) < 120
    assert 0 < len(due_ids(IDS, None, at(0))) < 40


def test_a_repeated_tick_rolls_nothing_up() -> None:
    assert due_ids(IDS, at(0), at(0)) == []


def test_a_slot_in_the_future_does_not_stop_the_roll_ups() -> None:
    assert due_ids(IDS, at(9999), at(30)) == due_ids(IDS, at(0), at(30))


def test_a_new_provider_is_due_at_once_and_every_5_minutes() -> None:
    new = {"created_at": at(-5), "health": Health()}
    assert due_ids(["new"], None, at(0), **new) == ["new"]
    first_hour = [due_ids(["new"], at(tick - 30), at(tick), created_at=at(-5)) for tick in range(0, 3600, 30)]
    assert 11 <= first_hour.count(["new"]) <= 13


def test_a_provider_that_is_created_during_the_tick_is_not_due() -> None:
    assert due_ids(["new"], None, at(0), created_at=at(1), health=Health()) == []


@pytest.fixture
def roll_ups(aws: Aws) -> RollUps:
    return make_roll_ups(aws, lambda: NOON)


def add_beats(aws: Aws, *ids: str, count: int = 3) -> None:
    history = HistoryStore(aws.heartbeats, retention=WEEK)
    for id_ in ids:
        for number in range(count):
            history.add(id_, an_outcome((NOON - an_outcome().started_at).total_seconds() - 60 - number))


def uptime(aws: Aws, id_: str) -> int:
    return RollUpStore(aws.roll_ups).read_summaries([ticked(id_, None)], LATER)[id_].uptime["24h"].beats


def test_rolls_up_the_stored_heartbeats(aws: Aws, roll_ups: RollUps) -> None:
    add_beats(aws, "one", "two")
    assert roll_ups.run([ticked("one", None), ticked("two", None), ticked("none", None)], NOON, LATER) == []
    assert [uptime(aws, id_) for id_ in ("one", "two", "none")] == [3, 3, 0]


def test_writes_the_same_items_again(aws: Aws, roll_ups: RollUps) -> None:
    add_beats(aws, "one", "two")
    providers = [ticked("one", None), ticked("two", None)]
    roll_ups.run(providers, NOON, LATER)
    before = aws.roll_ups.scan()["Items"]
    roll_ups.run(providers, NOON, LATER)
    assert aws.roll_ups.scan()["Items"] == before


def test_an_old_tick_does_not_replace_a_newer_roll_up(aws: Aws, roll_ups: RollUps) -> None:
    add_beats(aws, "one")
    roll_ups.run([ticked("one", None)], NOON, LATER)
    assert roll_ups.run([ticked("one", None)], NOON - timedelta(hours=1), LATER) == []
    assert uptime(aws, "one") == 3


def test_rolls_up_in_few_calls(aws: Aws, roll_ups: RollUps, calls: list[str]) -> None:
    providers = [ticked(f"p{number}", None) for number in range(20)]
    roll_ups.run(providers, NOON, LATER)
    counts = Counter(calls)
    assert counts == {"BatchGetItem": 1, "Query": 20, "BatchWriteItem": 1}


class PoisonedStore(RollUpStore):
    """Rejects the items of the provider `bad`, as DynamoDB rejects a batch with an invalid item."""

    def write(self, items: Any) -> None:
        written: list[Item] = list(items)
        if any(item["provider_id"] == "bad" for item in written):
            raise OSError
        super().write(written)


def test_a_failing_provider_does_not_cost_the_roll_ups_of_others(aws: Aws) -> None:
    add_beats(aws, "good", "bad")
    history = HistoryStore(aws.heartbeats, retention=WEEK)
    roll_ups = RollUps(history, PoisonedStore(aws.roll_ups), now=lambda: NOON)
    failures = roll_ups.run([ticked("good", None), ticked("bad", None)], NOON, LATER)
    assert [(failure.kind, failure.provider_id, type(failure.error)) for failure in failures] == [
        ("roll-up not written", "bad", OSError)
    ]
    assert (uptime(aws, "good"), uptime(aws, "bad")) == (3, 0)


def test_starts_nothing_after_the_deadline(aws: Aws, roll_ups: RollUps, calls: list[str]) -> None:
    failures = roll_ups.run([ticked("one", None)], NOON, deadline=NOON)
    assert failures == [InternalFailure("roll-up not written", "one")]
    assert calls == []


def ticker(system: System, clock: Callable[[], datetime], roll_ups: RollUps | None = None) -> Ticker:
    check = ScriptedCheck(an_outcome((clock() - an_outcome().started_at).total_seconds()))
    return Ticker(
        system.providers, check, system.side_effects(), now=clock, roll_ups=roll_ups or system.roll_ups(clock)
    )


def test_a_tick_rolls_up_the_providers_that_are_due(system: System) -> None:
    system.add("main", created_at=at(-20))
    system.add("off", created_at=at(-20), heartbeat=HeartbeatSettings(enabled=False))
    beat = an_outcome((at(-10) - an_outcome().started_at).total_seconds())
    HistoryStore(system.aws.heartbeats, retention=WEEK).add("main", beat)
    result = ticker(system, lambda: NOON).tick(format_timestamp(NOON))
    assert result.failures == ()
    main, off = system.providers.get("main"), system.providers.get("off")
    summaries = RollUpStore(system.aws.roll_ups).read_summaries([main, off], LATER)
    assert summaries["main"].uptime["24h"].beats == 1
    assert summaries["off"].until is None


def test_a_repeated_tick_changes_no_item(system: System) -> None:
    system.add("main", created_at=at(-20))
    for _ in range(2):
        ticker(system, lambda: NOON).tick(format_timestamp(NOON))
    tables = system.aws.heartbeats, system.aws.roll_ups
    before = [table.scan()["Items"] for table in tables]
    ticker(system, lambda: at(3)).tick(format_timestamp(NOON))
    assert [table.scan()["Items"] for table in tables] == before
    assert len(before[0]) == 1


class BrokenRollUps(RollUps):
    def run(self, providers: Sequence[Provider], _end: datetime, _deadline: datetime) -> list[InternalFailure]:
        return [InternalFailure("roll-up not written", provider.id) for provider in providers]


def test_a_failed_roll_up_costs_no_heartbeat_and_is_counted(system: System) -> None:
    system.add("main", created_at=at(-20))
    history, store = HistoryStore(system.aws.heartbeats, retention=WEEK), RollUpStore(system.aws.roll_ups)
    broken = BrokenRollUps(history, store, now=lambda: NOON)
    result = ticker(system, lambda: NOON, broken).tick(format_timestamp(NOON))
    assert [(failure.kind, failure.provider_id) for failure in result.failures] == [("roll-up not written", "main")]
    assert (result.not_written, system.status(), len(system.history)) == (1, "healthy", 1)
