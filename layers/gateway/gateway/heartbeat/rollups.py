"""Rolls a provider's heartbeats up into half hours, days and incidents. Pure functions.

A roll-up computes the half hours of a window again from all their heartbeats and retains the earlier ones. It adds
nothing to a stored number, so the same roll-up twice gives the same result.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from statistics import median_low

from gateway.heartbeat.histogram import NO_LATENCIES, Histogram
from gateway.heartbeat.history import PastBeat

HALF_HOUR = timedelta(minutes=30)
ONE_DAY = timedelta(days=1)
CELLS_PER_DAY = 48
MAX_INCIDENTS_PER_DAY = 50
MAX_RECENT_INCIDENTS = 10
MAX_CAUSE_CHARACTERS = 500
UNKNOWN_CAUSE = "The heartbeat failed."


@dataclass(frozen=True, slots=True)
class Cell:
    """The heartbeats that started within one half hour.

    `incidents` counts those that began in it. `latency_ms` and `ttft_ms` are medians of the good heartbeats, None
    without any. `latencies` has the latencies of the good heartbeats.
    """

    start: datetime
    beats: int = 0
    good: int = 0
    incidents: int = 0
    latency_ms: int | None = None
    ttft_ms: int | None = None
    latencies: Histogram = NO_LATENCIES


@dataclass(frozen=True, slots=True)
class Day:
    """The sums of the half hours of one UTC day."""

    date: date
    beats: int = 0
    good: int = 0
    incidents: int = 0
    latencies: Histogram = NO_LATENCIES


@dataclass(frozen=True, slots=True)
class Incident:
    """A series of failed heartbeats, from the first one to the next good one. `end` is None while it lasts.

    `cause` is the error of the first one. `planned` says whether the provider was muted then. `number` counts the
    incidents that began on the same UTC day, from 1.
    """

    begin: datetime
    end: datetime | None
    cause: str
    planned: bool = False
    number: int = 1


@dataclass(frozen=True, slots=True)
class Window:
    """The heartbeats that a roll-up reads: from `start`, a half hour, to just before `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class RollUp:
    """The roll-ups of one provider.

    `until` is the end of the last window, None before the first one. `cells` has the half hours with heartbeats of the
    day of `until` and of the day before, by start, and `days` the days with heartbeats of their months. `incidents` has
    the newest ones, newest first. `open_incident` is the one that the next window may begin with.
    """

    until: datetime | None = None
    cells: Mapping[datetime, Cell] = field(default_factory=dict)
    days: Mapping[date, Day] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    open_incident: Incident | None = None


def next_window(before: RollUp, end: datetime, *, created_at: datetime, retention: timedelta) -> Window:
    """Returns the window of the next roll-up of a provider whose heartbeats are stored for `retention`.

    It goes back at least half an hour before the last one's end, because a heartbeat may be stored late. It goes back
    to the beginning of yesterday at most.
    """
    # The half hour of this moment has lost some of its heartbeats.
    incomplete = cell_start(end - retention)
    earliest = max(day_start(end) - ONE_DAY, incomplete + HALF_HOUR, cell_start(created_at))
    start = earliest if before.until is None else max(earliest, _overlap(before.until))
    return Window(min(start, cell_start(end)), end)


def roll_up(before: RollUp, window: Window, beats: Sequence[PastBeat]) -> tuple[RollUp, list[Incident]]:
    """Returns the roll-ups after a window and the incidents that began or ended in it.

    `beats` are all heartbeats of the window, oldest first.
    """
    first_day = (day_start(window.end) - ONE_DAY).date()
    retained = {
        start: cell for start, cell in before.cells.items() if start < window.start and start.date() >= first_day
    }
    open_incident = _open_at(window.start, before)
    incidents = _find_incidents(beats, open_incident, _count_by_day(retained.values()))
    cells = retained | {cell.start: cell for cell in _make_cells(beats, incidents)}
    changed = [incident for incident in incidents if incident != open_incident]
    earlier = (incident for incident in before.incidents if incident.begin < window.start)
    recent = {incident.begin: incident for incident in (*earlier, *incidents)}
    newest_first = tuple(recent[begin] for begin in sorted(recent, reverse=True))
    after = RollUp(
        until=window.end,
        cells=dict(sorted(cells.items())),
        days=_sum_days(before.days, cells.values(), window),
        incidents=newest_first[:MAX_RECENT_INCIDENTS],
    )
    candidates = replace(after, incidents=newest_first)
    return replace(after, open_incident=_open_at(_overlap(window.end), candidates)), changed


def without_future(roll_up: RollUp, now: datetime) -> RollUp:
    """Removes everything after `now` from a roll-up. It ends in the future if the clock was set back since."""
    past = tuple(incident for incident in roll_up.incidents if incident.begin < now)
    return replace(roll_up, until=None, incidents=past, open_incident=None)


def cell_start(at: datetime) -> datetime:
    """Returns the start of the half hour of a moment, in UTC."""
    at = at.astimezone(UTC)
    return at.replace(minute=at.minute // 30 * 30, second=0, microsecond=0)


def day_start(at: datetime) -> datetime:
    """Returns the start of the UTC day of a moment."""
    return datetime.combine(at.astimezone(UTC).date(), time(), UTC)


def last_cells(cells: Mapping[datetime, Cell], at: datetime) -> tuple[Cell, ...]:
    """Returns the 48 half hours up to the one of a moment, oldest first, empty ones where there is none."""
    newest = cell_start(at)
    starts = (newest - HALF_HOUR * number for number in reversed(range(CELLS_PER_DAY)))
    return tuple(cells.get(start) or Cell(start) for start in starts)


def cells_of_day(cells: Mapping[datetime, Cell], day: date) -> tuple[Cell, ...]:
    """Returns the 48 half hours of a UTC day, oldest first."""
    start = datetime.combine(day, time(), UTC)
    starts = (start + HALF_HOUR * number for number in range(CELLS_PER_DAY))
    return tuple(cells.get(each) or Cell(each) for each in starts)


def sum_day(day: date, cells: Iterable[Cell]) -> Day:
    """Returns the sums of a day's half hours."""
    used = [cell for cell in cells if cell.beats]
    return Day(
        date=day,
        beats=sum(cell.beats for cell in used),
        good=sum(cell.good for cell in used),
        incidents=sum(cell.incidents for cell in used),
        latencies=Histogram.merge(cell.latencies for cell in used),
    )


def dates(window: Window) -> list[date]:
    """Returns the days whose sums a window may change: one, or two around midnight."""
    first, last = window.start.date(), window.end.astimezone(UTC).date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _overlap(until: datetime) -> datetime:
    return cell_start(until - HALF_HOUR)


def _open_at(moment: datetime, roll_ups: RollUp) -> Incident | None:
    """Returns the incident that had begun and not ended just before this moment."""
    known = (roll_ups.open_incident, *roll_ups.incidents)
    for incident in known:
        if incident is not None and incident.begin < moment and (incident.end is None or incident.end >= moment):
            # Its end is computed again from the heartbeats.
            return replace(incident, end=None)
    return None


def _count_by_day(cells: Iterable[Cell]) -> Counter[date]:
    counts: Counter[date] = Counter()
    for cell in cells:
        counts[cell.start.date()] += cell.incidents
    return counts


def _find_incidents(beats: Sequence[PastBeat], open_incident: Incident | None, counts: Counter[date]) -> list[Incident]:
    """Returns the incidents of these heartbeats, oldest first. `counts` has the earlier ones by day."""
    incidents: list[Incident] = []
    current = open_incident
    for beat in beats:
        if not beat.good and current is None:
            day = beat.at.astimezone(UTC).date()
            counts[day] += 1
            cause = (beat.error or UNKNOWN_CAUSE)[:MAX_CAUSE_CHARACTERS]
            current = Incident(beat.at, None, cause, beat.planned, counts[day])
        elif beat.good and current is not None:
            incidents.append(replace(current, end=beat.at))
            current = None
    return incidents if current is None else [*incidents, current]


def _make_cells(beats: Iterable[PastBeat], incidents: Iterable[Incident]) -> Iterator[Cell]:
    by_start: defaultdict[datetime, list[PastBeat]] = defaultdict(list)
    for beat in beats:
        by_start[cell_start(beat.at)].append(beat)
    begins = Counter(cell_start(incident.begin) for incident in incidents)
    for start, inside in by_start.items():
        good = [beat for beat in inside if beat.good]
        latencies = [beat.latency_ms for beat in good if beat.latency_ms is not None]
        ttfts = [beat.ttft_ms for beat in good if beat.ttft_ms is not None]
        yield Cell(
            start=start,
            beats=len(inside),
            good=len(good),
            incidents=begins[start],
            latency_ms=median_low(latencies) if latencies else None,
            ttft_ms=median_low(ttfts) if ttfts else None,
            latencies=Histogram.from_values(latencies),
        )


def _sum_days(before: Mapping[date, Day], cells: Iterable[Cell], window: Window) -> dict[date, Day]:
    """Returns the days of the months of the window's end and of the day before it."""
    by_start = {cell.start: cell for cell in cells}
    changed = [sum_day(day, cells_of_day(by_start, day)) for day in dates(window)]
    days = dict(before) | {day.date: day for day in changed}
    first_day = (day_start(window.end) - ONE_DAY).date().replace(day=1)
    return {date_: day for date_, day in sorted(days.items()) if day.beats and date_ >= first_day}
