from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, strategies

from gateway.heartbeat.histogram import Histogram
from gateway.heartbeat.rollup_items import (
    read_cells,
    read_current,
    read_days,
    read_incident,
    to_items,
)
from gateway.heartbeat.rollups import Cell, Day, Incident, RollUp, Window, cells_of_day, last_cells
from tests.unit.gateway.builders import BRIEFLY, a_provider

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
END = MIDNIGHT + timedelta(minutes=70)
PROVIDER = a_provider(created_at=MIDNIGHT - timedelta(days=3))
CELLS = {
    start: Cell(start, 60, 59, 1, 412, None, Histogram.from_values([400, 412, 9000]))
    for start in (MIDNIGHT - timedelta(hours=5), MIDNIGHT, MIDNIGHT + timedelta(minutes=30))
}
INCIDENTS = (
    Incident(MIDNIGHT + timedelta(minutes=31), None, "no", number=2),
    Incident(MIDNIGHT, MIDNIGHT + timedelta(minutes=1), "dead key", planned=True),
)
DAYS = {
    day.date: day
    for day in (
        Day(MIDNIGHT.date() - timedelta(days=28), 2880, 2879, 1, Histogram.from_values([10, 20])),
        Day(MIDNIGHT.date() - timedelta(days=1), 60, 59, 1, Histogram.from_values([400])),
        Day(MIDNIGHT.date(), 120, 118, 2, Histogram()),
    )
}
ROLL_UP = RollUp(END, CELLS, DAYS, INCIDENTS, INCIDENTS[0])
WINDOW = Window(MIDNIGHT - timedelta(minutes=30), END)


def by_entry(roll_up: RollUp = ROLL_UP) -> Mapping[str, dict[str, Any]]:
    return {item["entry"]: item for item in to_items(PROVIDER, roll_up, WINDOW, roll_up.incidents)}


def test_writes_the_item_of_the_last_24_hours_last() -> None:
    assert list(by_entry()) == [
        "day#2026-02-28",
        "day#2026-03-01",
        "month#2026-02",
        "month#2026-03",
        "incident#2026-03-01T00:31:00.000000Z",
        "incident#2026-03-01T00:00:00.000000Z",
        "current",
    ]


def test_each_item_names_its_provider_and_its_creation() -> None:
    owners = {(item["provider_id"], item["created_at"]) for item in by_entry().values()}
    assert owners == {("main", "2026-02-26T00:00:00.000000Z")}


def test_reads_what_was_written() -> None:
    items = by_entry()
    assert read_cells(items["day#2026-03-01"]) == cells_of_day(CELLS, MIDNIGHT.date())
    assert read_days(items["month#2026-02"]) + read_days(items["month#2026-03"]) == tuple(DAYS.values())
    assert read_incident(items["incident#2026-03-01T00:00:00.000000Z"]) == INCIDENTS[1]
    current = read_current(items["current"])
    assert (current.until, current.cells) == (END, last_cells(CELLS, END))
    assert (current.incidents, current.open_incident) == (INCIDENTS, INCIDENTS[0])


def test_a_day_has_its_sums() -> None:
    item = by_entry()["day#2026-03-01"]
    assert {name: item[name] for name in ("beats", "good", "incidents", "min_ms", "max_ms")} == {
        "beats": 120,
        "good": 118,
        "incidents": 2,
        "min_ms": 400,
        "max_ms": 9000,
    }


def test_items_expire_400_days_after_their_time() -> None:
    days = {
        entry: (datetime.fromtimestamp(item["expires_at"], UTC) - timedelta(days=400)).date().isoformat()
        for entry, item in by_entry().items()
    }
    assert (days["day#2026-02-28"], days["day#2026-03-01"]) == ("2026-02-28", "2026-03-01")
    assert (days["month#2026-03"], days["current"]) == ("2026-04-01", "2026-03-01")


@BRIEFLY
@given(
    strategies.lists(
        strategies.tuples(strategies.integers(1, 60), strategies.lists(strategies.integers(0, 25_000))), max_size=96
    )
)
def test_reads_any_cells(parts: list[tuple[int, list[int]]]) -> None:
    starts = [MIDNIGHT - timedelta(days=1) + timedelta(minutes=30) * number for number in range(len(parts))]
    cells = {
        start: Cell(
            start, beats, beats - 1, 1, latencies[0] if latencies else None, 0, Histogram.from_values(latencies)
        )
        for start, (beats, latencies) in zip(starts, parts, strict=True)
    }
    items = by_entry(RollUp(END, cells, {}))
    for entry, item in items.items():
        if entry.startswith("day#"):
            day = datetime.fromisoformat(entry.removeprefix("day#")).date()
            assert read_cells(item) == cells_of_day(cells, day)
    assert read_current(items["current"]).cells == last_cells(cells, END)


def test_a_typical_day_takes_less_than_2_kb() -> None:
    latencies = [400 + 7 * number for number in range(60)]
    starts = [MIDNIGHT + timedelta(minutes=30) * number for number in range(48)]
    cells = {s: Cell(s, 60, 60, 0, 400, 90, Histogram.from_values(latencies)) for s in starts}
    assert len(by_entry(RollUp(END, cells))["day#2026-03-01"]["cells"]) < 2000
