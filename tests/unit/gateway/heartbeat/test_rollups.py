"""Roll-ups of a series of windows, compared with a reference that is computed from all heartbeats at once."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import cycle, groupby
from typing import Any

from hypothesis import given, strategies

from gateway.heartbeat.histogram import Histogram
from gateway.heartbeat.history import PastBeat
from gateway.heartbeat.rollup_items import to_items
from gateway.heartbeat.rollups import Cell, Incident, RollUp, Window, cell_start, next_window, roll_up, without_future
from tests.unit.gateway.builders import BRIEFLY, WEEK, a_provider

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
CREATED = datetime(2026, 2, 1, tzinfo=UTC)
PROVIDER = a_provider(created_at=CREATED)


def at(minutes: float) -> datetime:
    return MIDNIGHT + timedelta(minutes=minutes)


def beat(minutes: float, *, good: bool = True, ms: int = 400, ttft: int | None = None, error: str = "no") -> PastBeat:
    return PastBeat(at(minutes), good, ms, ttft, None if good else error)


def roll(before: RollUp, beats: Sequence[PastBeat], end: datetime) -> tuple[RollUp, list[Incident], Window]:
    """Rolls up what a store would return: the heartbeats of the next window, oldest first."""
    window = next_window(before, end, created_at=CREATED, retention=WEEK)
    inside = [each for each in beats if window.start <= each.at < window.end]
    return *roll_up(before, window, inside), window


def items(before: RollUp, beats: Sequence[PastBeat], end: datetime) -> list[dict[str, Any]]:
    after, changed, window = roll(before, beats, end)
    return to_items(PROVIDER, after, window, changed)


def reference_incidents(beats: Sequence[PastBeat]) -> list[tuple[datetime, datetime | None, str]]:
    """Returns (begin, end, cause) of each series of failures, oldest first."""
    series = [list(group) for _, group in groupby(beats, key=lambda each: each.good)]
    following = [group[0].at for group in series[1:]] + [None]
    return [
        (group[0].at, end, str(group[0].error))
        for group, end in zip(series, following, strict=True)
        if not group[0].good
    ]


BEATS = strategies.lists(
    strategies.tuples(strategies.floats(0.1, 60), strategies.booleans(), strategies.integers(1, 9000)),
    min_size=1,
    max_size=120,
)
PAUSES = strategies.lists(strategies.integers(5, 45), min_size=1, max_size=60)


def make_beats(parts: Sequence[tuple[float, bool, int]], start_minutes: float) -> list[PastBeat]:
    beats, minutes = [], start_minutes
    for pause, good, ms in parts:
        minutes += pause
        beats.append(beat(minutes, good=good, ms=ms, error=f"failed after {ms} ms"))
    return beats


def count_by_day(beats: Sequence[PastBeat]) -> dict[date, tuple[int, int, Histogram]]:
    days = {day: list(group) for day, group in groupby(beats, key=lambda each: each.at.date())}
    return {
        day: (
            len(inside),
            sum(each.good for each in inside),
            Histogram.from_values(each.latency_ms or 0 for each in inside if each.good),
        )
        for day, inside in days.items()
    }


@BRIEFLY
@given(BEATS, PAUSES)
def test_any_series_of_roll_ups_equals_the_reference(parts: list[tuple[float, bool, int]], pauses: list[int]) -> None:
    beats = make_beats(parts, start_minutes=-600)
    roll_ups, end, stored = RollUp(), beats[0].at, dict[datetime, Incident]()
    for pause in cycle(pauses):
        if end > beats[-1].at:
            break
        end += timedelta(minutes=pause)
        roll_ups, changed, _ = roll(roll_ups, beats, end)
        stored |= {incident.begin: incident for incident in changed}

    expected = reference_incidents(beats)
    assert [(i.begin, i.end, i.cause) for _, i in sorted(stored.items())] == expected
    assert [(i.begin, i.end, i.cause) for i in reversed(roll_ups.incidents)] == expected[-10:]
    first_day = (end - timedelta(days=1)).date().replace(day=1)
    days = {day: values for day, values in count_by_day(beats).items() if day >= first_day}
    assert {day.date: (day.beats, day.good, day.latencies) for day in roll_ups.days.values()} == days
    assert {day.date: day.incidents for day in roll_ups.days.values()} == {
        day: sum(begin.date() == day for begin, _, _ in expected) for day in days
    }


@BRIEFLY
@given(BEATS)
def test_a_repeated_roll_up_writes_the_same_items(parts: list[tuple[float, bool, int]]) -> None:
    beats = make_beats(parts, start_minutes=-600)
    middle, end = beats[len(beats) // 2].at, beats[-1].at + timedelta(minutes=1)
    first, _, _ = roll(RollUp(), beats, middle)
    second, changed, window = roll(first, beats, end)
    written = to_items(PROVIDER, second, window, changed)

    again, changed_again, window_again = roll(second, beats, end)

    repeated = {item["entry"]: item for item in to_items(PROVIDER, again, window_again, changed_again)}
    assert again == second
    assert repeated.items() <= {item["entry"]: item for item in written}.items()
    assert to_items(PROVIDER, *reorder(roll(first, beats, end))) == written


def reorder(result: tuple[RollUp, list[Incident], Window]) -> tuple[RollUp, Window, list[Incident]]:
    after, changed, window = result
    return after, window, changed


def test_a_half_hour_has_the_medians_of_its_good_heartbeats() -> None:
    beats = [beat(0, ms=300), beat(1, ms=500, ttft=90), beat(2, ms=9000), beat(3, good=False, ms=1)]
    after, _, _ = roll(RollUp(), beats, at(10))
    assert after.cells == {at(0): Cell(at(0), 4, 3, 1, 500, 90, Histogram.from_values([300, 500, 9000]))}


def test_a_half_hour_without_good_heartbeats_has_no_latency() -> None:
    after, _, _ = roll(RollUp(), [beat(0, good=False)], at(10))
    assert after.cells == {at(0): Cell(at(0), 1, 0, 1)}


def test_a_window_excludes_the_heartbeats_of_its_own_tick() -> None:
    """Whether these are stored already depends on the speed of the tick."""
    window = next_window(RollUp(until=at(31)), at(61), created_at=CREATED, retention=WEEK)
    assert window == Window(at(0), at(61))


def test_a_window_begins_half_an_hour_before_the_last_end() -> None:
    starts = [
        next_window(RollUp(until=at(until)), at(120), created_at=CREATED, retention=WEEK).start
        for until in (59, 60, 89, 90)
    ]
    assert starts == [at(0), at(30), at(30), at(60)]


def test_a_first_window_begins_with_yesterday() -> None:
    assert next_window(RollUp(), at(90), created_at=CREATED, retention=WEEK).start == MIDNIGHT - timedelta(days=1)


def test_a_window_after_a_long_gap_begins_with_yesterday() -> None:
    old = RollUp(until=at(-9999))
    assert next_window(old, at(90), created_at=CREATED, retention=WEEK).start == MIDNIGHT - timedelta(days=1)


def test_a_window_begins_with_the_half_hour_of_the_registration() -> None:
    assert next_window(RollUp(), at(90), created_at=at(44), retention=WEEK).start == at(30)
    assert next_window(RollUp(), at(90), created_at=at(120), retention=WEEK).start == at(90)


def test_a_window_excludes_half_hours_that_have_expired_partly() -> None:
    """The stored half hour is complete, and a new one would lack the expired heartbeats."""
    day = timedelta(days=1)
    old = RollUp(until=at(-23 * 60))
    window = next_window(old, at(44), created_at=CREATED, retention=day)
    assert window.start == cell_start(at(44) - day) + timedelta(minutes=30)


def test_an_incident_keeps_its_first_cause_and_its_begin() -> None:
    beats = [beat(0, good=False, error="dead key"), beat(31, good=False, error="no eligible models"), beat(61)]
    roll_ups, changed, _ = roll(RollUp(), beats, at(20))
    assert changed == [Incident(at(0), None, "dead key")]
    roll_ups, changed, _ = roll(roll_ups, beats, at(50))
    assert changed == [Incident(at(0), None, "dead key")]
    for end in (59, 60):
        roll_ups, changed, _ = roll(roll_ups, beats, at(end))
        assert roll_ups.incidents == (Incident(at(0), None, "dead key"),)
    roll_ups, changed, _ = roll(roll_ups, beats, at(90))
    assert changed == [Incident(at(0), at(61), "dead key")]


def test_a_lasting_incident_is_not_written_again() -> None:
    beats = [beat(minutes, good=False) for minutes in range(200)]
    roll_ups = RollUp()
    for end in (90, 120):
        roll_ups, _, _ = roll(roll_ups, beats, at(end))
    assert [item["entry"] for item in items(roll_ups, beats, at(150))] == ["day#2026-03-01", "month#2026-03", "current"]


def test_shortens_a_long_cause() -> None:
    after, _, _ = roll(RollUp(), [beat(0, good=False, error="x" * 4096)], at(10))
    assert after.incidents[0].cause == "x" * 500


def test_an_incident_of_a_muted_provider_is_planned() -> None:
    failed = PastBeat(at(0), False, 1, error="no", planned=True)
    after, _, _ = roll(RollUp(), [failed, beat(1), beat(2, good=False)], at(10))
    assert [incident.planned for incident in after.incidents] == [False, True]


def flapping(minutes: range) -> list[PastBeat]:
    return [beat(minute, good=minute % 2 == 1) for minute in minutes]


def test_stores_50_incidents_a_day_and_counts_all() -> None:
    beats = flapping(range(240))
    roll_ups, entries = RollUp(), set[str]()
    for end in range(30, 271, 30):
        entries |= {item["entry"] for item in items(roll_ups, beats, at(end))}
        roll_ups, _, _ = roll(roll_ups, beats, at(end))
    assert len([entry for entry in entries if entry.startswith("incident#")]) == 50
    assert roll_ups.days[MIDNIGHT.date()].incidents == 120
    assert len(roll_ups.incidents) == 10


def test_an_incident_stays_open_behind_ten_newer_ones() -> None:
    """More than ten incidents in one window must not hide the one that the next window begins with."""
    beats = [beat(0), beat(28, good=False, error="first"), *flapping(range(31, 59)), beat(70)]
    first, _, _ = roll(RollUp(), beats, at(60))
    assert first.open_incident == Incident(at(28), None, "first")

    again, changed, _ = roll(first, beats, at(60))

    assert again == first
    assert changed[0] == Incident(at(28), at(31), "first")


def test_the_day_is_rolled_up_once_more_after_midnight() -> None:
    beats = [beat(-20), beat(-1, good=False), beat(5)]
    before, _, _ = roll(RollUp(), beats, at(-10))
    after, _, _ = roll(before, beats, at(20))
    yesterday, today = sorted(after.days)
    assert (after.days[yesterday].beats, after.days[today].beats) == (2, 1)
    assert [item["entry"] for item in items(before, beats, at(20))] == [
        "day#2026-02-28",
        "day#2026-03-01",
        "month#2026-02",
        "month#2026-03",
        "incident#2026-02-28T23:59:00.000000Z",
        "current",
    ]


def test_after_the_clock_was_set_back_only_past_incidents_remain() -> None:
    past, future = Incident(at(0), at(1), "past"), Incident(at(60), None, "future")
    ahead = RollUp(until=at(90), incidents=(future, past), open_incident=future)

    assert without_future(ahead, at(30)) == RollUp(incidents=(past,))
