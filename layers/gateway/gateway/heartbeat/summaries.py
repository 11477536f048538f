"""What a page shows of a provider's past: uptime, half hours, days and incidents. Pure functions of the roll-ups."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal, Protocol

from gateway.heartbeat.histogram import Histogram
from gateway.heartbeat.history import Uptime
from gateway.heartbeat.rollup_items import CurrentItem
from gateway.heartbeat.rollups import MAX_CAUSE_CHARACTERS, UNKNOWN_CAUSE, Cell, Day, Incident, last_cells
from gateway.registry.provider import Health

Period = Literal["24h", "7d", "30d", "90d"]
DAYS: Mapping[Period, int] = {"7d": 7, "30d": 30, "90d": 90}
MAX_DAYS = 90


class HasHistory(Protocol):
    """What a summary needs of a provider: `Provider` and `ProviderOverview` have it."""

    @property
    def id(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def health(self) -> Health: ...


@dataclass(frozen=True, slots=True)
class ProviderHistory:
    """The past of one provider.

    `until` is the end of the last roll-up, None before the first one. `cells` has the 48 half hours up to now and
    `days` the 90 UTC days up to today, both oldest first, with empty ones for gaps. `incidents` is newest first.
    """

    until: datetime | None
    uptime: Mapping[Period, Uptime]
    cells: tuple[Cell, ...]
    days: tuple[Day, ...]
    incidents: tuple[Incident, ...]


def summarize(current: CurrentItem | None, days: Iterable[Day], health: Health, now: datetime) -> ProviderHistory:
    """Returns the past of a provider. `days` are those of its months, in any order."""
    cells = last_cells({cell.start: cell for cell in current.cells} if current else {}, now)
    last_90 = _last_days({day.date: day for day in days}, now)
    return ProviderHistory(
        until=current.until if current else None,
        uptime={"24h": _sum(cells), **{period: _sum(last_90[-count:]) for period, count in DAYS.items()}},
        cells=cells,
        days=last_90,
        incidents=with_live_status(current.incidents if current else (), health),
    )


def with_live_status(incidents: Sequence[Incident], health: Health) -> tuple[Incident, ...]:
    """Adds or ends the newest incident where the status has changed since the last roll-up. Newest first."""
    newest, since = next(iter(incidents), None), health.status_changed_at
    is_open = newest is not None and newest.end is None
    if since is None:
        return tuple(incidents)
    if health.status == "failed" and not is_open:
        cause = (health.last_heartbeat_error or UNKNOWN_CAUSE)[:MAX_CAUSE_CHARACTERS]
        return (Incident(since, None, cause, health.failure_planned), *incidents)
    if health.status == "healthy" and newest is not None and is_open and since > newest.begin:
        return (replace(newest, end=since), *incidents[1:])
    return tuple(incidents)


def first_day(now: datetime) -> date:
    """Returns the oldest of the 90 days that a page shows."""
    return now.astimezone(UTC).date() - timedelta(days=MAX_DAYS - 1)


def _last_days(days: Mapping[date, Day], now: datetime) -> tuple[Day, ...]:
    first = first_day(now)
    dates = (first + timedelta(days=number) for number in range(MAX_DAYS))
    return tuple(days.get(each) or Day(each) for each in dates)


def _sum(parts: Sequence[Cell] | Sequence[Day]) -> Uptime:
    latencies = Histogram.merge(part.latencies for part in parts if part.good)
    return Uptime(
        beats=sum(part.beats for part in parts),
        good=sum(part.good for part in parts),
        p50_ms=latencies.percentile(50),
        p95_ms=latencies.percentile(95),
    )
