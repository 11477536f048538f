"""The response bodies for uptime and incidents."""

from typing import Annotated

from pydantic import Field

from gateway.heartbeat.history import Page, Uptime
from gateway.heartbeat.rollups import Cell, Day, Incident
from gateway.heartbeat.summaries import Period, ProviderHistory
from gateway.registry.provider import format_timestamp
from gateway.registry.schemas import Deferred

PERIODS: tuple[Period, ...] = ("24h", "7d", "30d", "90d")


class PeriodView(Deferred):
    """The heartbeats of a period. `uptime` is the share of good ones, null without any.

    `p50_ms` and `p95_ms` are percentiles of the good ones' latencies with an error of at most 5 %, or null.
    """

    beats: int
    good: int
    uptime: Annotated[float, Field(ge=0, le=1)] | None
    p50_ms: float | None
    p95_ms: float | None


class HalfHourView(Deferred):
    """The heartbeats that began in one half hour. Latency and time to first token are medians of the good ones."""

    start: str = Field(serialization_alias="from")
    beats: int
    good: int
    latency_ms: int | None
    ttft_ms: int | None


class DayView(Deferred):
    """The heartbeats of one UTC day, and the incidents that began on it."""

    date: str
    beats: int
    good: int
    incidents: int


class PeriodsView(Deferred):
    """The uptime of four periods, 48 half hours and 90 days, newest first and without gaps.

    `rolled_up_until` is the time up to which heartbeats are counted, null before the first roll-up.
    """

    rolled_up_until: str | None
    last_24h: PeriodView
    last_7d: PeriodView
    last_30d: PeriodView
    last_90d: PeriodView
    half_hours: list[HalfHourView]
    days: list[DayView]


class IncidentView(Deferred):
    """A series of failed heartbeats. `end` and `duration_s` are null while it lasts. `cause` is its first error."""

    begin: str
    end: str | None
    duration_s: int | None
    cause: str
    planned: bool


class IncidentsView(Deferred):
    """Incidents, newest first. `next` is the cursor of the next page, null on the last one."""

    items: list[IncidentView]
    next: str | None


def periods_view(history: ProviderHistory) -> PeriodsView:
    periods: dict[str, PeriodView] = {f"last_{period}": _period(history.uptime[period]) for period in PERIODS}
    return PeriodsView(
        rolled_up_until=None if history.until is None else format_timestamp(history.until),
        half_hours=[_half_hour(cell) for cell in reversed(history.cells)],
        days=[_day(day) for day in reversed(history.days)],
        **periods,
    )


def incidents_view(page: Page[Incident]) -> IncidentsView:
    return IncidentsView(items=[_incident(incident) for incident in page.items], next=page.next)


def _period(uptime: Uptime) -> PeriodView:
    return PeriodView(
        beats=uptime.beats, good=uptime.good, uptime=uptime.share, p50_ms=uptime.p50_ms, p95_ms=uptime.p95_ms
    )


def _half_hour(cell: Cell) -> HalfHourView:
    return HalfHourView(
        start=format_timestamp(cell.start),
        beats=cell.beats,
        good=cell.good,
        latency_ms=cell.latency_ms,
        ttft_ms=cell.ttft_ms,
    )


def _day(day: Day) -> DayView:
    return DayView(date=day.date.isoformat(), beats=day.beats, good=day.good, incidents=day.incidents)


def _incident(incident: Incident) -> IncidentView:
    end = incident.end
    return IncidentView(
        begin=format_timestamp(incident.begin),
        end=None if end is None else format_timestamp(end),
        duration_s=None if end is None else round((end - incident.begin).total_seconds()),
        cause=incident.cause,
        planned=incident.planned,
    )
