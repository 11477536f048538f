"""The prepared history of a provider, as the status page reads it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

from gateway.registry.overview import ProviderOverview

Span = Literal["24h", "7d", "30d", "90d"]
CELLS, CELL_WIDTH, DAYS = 48, timedelta(minutes=30), 90


@dataclass(frozen=True, slots=True)
class SpanUptime:
    """The heartbeats of a span. The percentiles are of the good ones, in milliseconds."""

    beats: int = 0
    good: int = 0
    p50_ms: int | None = None
    p95_ms: int | None = None

    @property
    def share(self) -> float | None:
        """The share of good heartbeats, 0 to 1. None without heartbeats."""
        return self.good / self.beats if self.beats else None


@dataclass(frozen=True, slots=True)
class Cell:
    """The heartbeats of half an hour. The times are means, in milliseconds."""

    start: datetime
    beats: int = 0
    good: int = 0
    latency_ms: int | None = None
    ttft_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """The heartbeats of one UTC day."""

    day: date
    beats: int = 0
    good: int = 0


@dataclass(frozen=True, slots=True)
class Incident:
    """A time during which a provider was failed. `end` is None while it lasts."""

    begin: datetime
    end: datetime | None
    cause: str
    planned: bool = False


@dataclass(frozen=True, slots=True)
class ProviderHistory:
    """The last 90 days of a provider: 48 cells and 90 days, oldest first, and incidents, newest first."""

    uptime: Mapping[Span, SpanUptime]
    cells: Sequence[Cell]
    days: Sequence[Day]
    incidents: Sequence[Incident]


ReadSummaries = Callable[[Sequence[ProviderOverview], datetime], Mapping[str, ProviderHistory]]


def empty_history(now: datetime) -> ProviderHistory:
    """Returns the history of a provider without heartbeats."""
    newest = now.astimezone(UTC).replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    return ProviderHistory(
        uptime={span: SpanUptime() for span in get_args(Span)},
        cells=[Cell(newest - CELL_WIDTH * (CELLS - 1 - index)) for index in range(CELLS)],
        days=[Day(newest.date() - timedelta(days=DAYS - 1 - index)) for index in range(DAYS)],
        incidents=(),
    )
