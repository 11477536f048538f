"""The DynamoDB units of the roll-ups of a month, which tools/docs/roll_ups.py prices."""

import math
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.heartbeat.history import PastBeat
from gateway.heartbeat.rollup_items import to_items
from gateway.heartbeat.rollups import Day, RollUp, next_window, roll_up, sum_day
from tests.unit.gateway.builders import WEEK, a_provider
from tools.docs.roll_ups import READS_PER_ROLL_UP, ROLL_UPS, WRITES_PER_ROLL_UP

MIDNIGHT = datetime(2026, 3, 16, tzinfo=UTC)
PROVIDER = a_provider(id="tokenhub", created_at=MIDNIGHT - timedelta(days=40))
WRITE_UNIT, READ_UNIT = 1024, 4096
# The attributes of a heartbeat's item, with the name of a model.
BEAT_BYTES = 190


def size(value: Any) -> int:
    """Returns about what DynamoDB counts for a value: the bytes of names and texts, 1 to 3 for a number or a map."""
    if isinstance(value, Mapping):
        return 3 + sum(len(name) + size(each) for name, each in value.items())
    if isinstance(value, list):
        return 3 + sum(1 + size(each) for each in value)
    if isinstance(value, str | bytes):
        return len(value)
    return 8


def units(items: Iterable[Mapping[str, Any]], unit: int) -> int:
    return sum(math.ceil(size(item) / unit) for item in items)


def a_day() -> list[PastBeat]:
    """The heartbeats of 48 hours: latencies around 600 ms, and an outage of five minutes."""
    random_ = random.Random(1)
    beats = []
    for number in range(2 * 2880):
        at = MIDNIGHT - timedelta(days=1) + timedelta(seconds=30 * number)
        good = not 4000 < number < 4010
        latency = round(random_.lognormvariate(math.log(600), 0.4))
        error = "HTTP 401: The API key is invalid. Check it in TokenHub and register the provider again."
        beats.append(PastBeat(at, good, latency, 90 if number % 20 == 0 else None, None if good else error))
    return beats


def days_before(beats: list[PastBeat]) -> RollUp:
    """Returns roll-ups with two full weeks of the month before the day."""
    after, _ = roll_up(RollUp(), next_window_of(RollUp(), MIDNIGHT), [each for each in beats if each.at < MIDNIGHT])
    yesterday = sum_day((MIDNIGHT - timedelta(days=1)).date(), after.cells.values())
    dates = [MIDNIGHT.date() - timedelta(days=number) for number in range(1, 16)]
    days = {date: Day(date, yesterday.beats, yesterday.good, 0, yesterday.latencies) for date in dates}
    return RollUp(after.until, after.cells, days, after.incidents, after.open_incident)


def next_window_of(before: RollUp, end: datetime) -> Any:
    return next_window(before, end, created_at=PROVIDER.created_at, retention=WEEK)


def test_a_month_of_roll_ups_uses_the_units_that_are_priced() -> None:
    beats = a_day()
    before = days_before(beats)
    writes = reads = 0
    for number in range(48):
        end = MIDNIGHT + timedelta(minutes=30 * number + 17)
        window = next_window_of(before, end)
        inside = [each for each in beats if window.start <= each.at < end]
        after, changed = roll_up(before, window, inside)
        items = to_items(PROVIDER, after, window, changed)
        writes += units(items, WRITE_UNIT)
        # The next roll-up reads these items and yesterday's day, and the heartbeats of its window in one query.
        reads += units(items, READ_UNIT) + 1 + math.ceil(len(inside) * BEAT_BYTES / READ_UNIT)
        before = after

    assert writes / 48 == pytest.approx(WRITES_PER_ROLL_UP, rel=0.15)
    assert reads / 48 == pytest.approx(READS_PER_ROLL_UP, rel=0.15)
    assert ROLL_UPS == 48 * 730 / 24
