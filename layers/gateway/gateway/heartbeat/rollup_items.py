"""Converts between roll-ups and items of the roll-ups table. Pure functions; equal roll-ups give equal items.

A provider has one item for each day, month and incident, and one for the last 24 hours. Each names the creation of its
provider, so that a provider does not take over the items of a deleted one with the same id.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from gateway.heartbeat.packing import (
    histogram_to_numbers,
    number_to_optional,
    numbers_to_histogram,
    optional_to_number,
    pack,
    unpack,
)
from gateway.heartbeat.rollups import (
    CELLS_PER_DAY,
    HALF_HOUR,
    MAX_INCIDENTS_PER_DAY,
    Cell,
    Day,
    Incident,
    RollUp,
    Window,
    cells_of_day,
    dates,
    last_cells,
    sum_day,
)
from gateway.registry.provider import Provider, format_timestamp, parse_timestamp

type Item = dict[str, Any]

RETENTION = timedelta(days=400)
CURRENT = "current"
DAY = "day#"
MONTH = "month#"
INCIDENT = "incident#"
DAYS_PER_MONTH = 31


@dataclass(frozen=True, slots=True)
class CurrentItem:
    """What the item of the last 24 hours holds: 48 half hours and the newest incidents, newest first."""

    until: datetime
    cells: tuple[Cell, ...]
    incidents: tuple[Incident, ...]
    open_incident: Incident | None


def day_key(day: date) -> str:
    """Returns the sort key of a day's item."""
    return f"{DAY}{day.isoformat()}"


def month_key(day: date) -> str:
    """Returns the sort key of the item of a day's month."""
    return f"{MONTH}{day.isoformat()[:7]}"


def incident_key(begin: datetime) -> str:
    """Returns the sort key of an incident's item. The keys sort by time."""
    return f"{INCIDENT}{format_timestamp(begin)}"


def to_items(provider: Provider, roll_up: RollUp, window: Window, changed: Iterable[Incident]) -> list[Item]:
    """Returns the items that a roll-up changes, the one of the last 24 hours last.

    The next roll-up begins where that item ends, so it must be written after the others.
    """
    days = dates(window)
    stored = (incident for incident in changed if incident.number <= MAX_INCIDENTS_PER_DAY)
    values = [
        *(_day_item(day, roll_up) for day in days),
        *(_month_item(month, roll_up) for month in sorted({day.replace(day=1) for day in days})),
        *(_incident_item(incident) for incident in stored),
        _current_item(window.end, roll_up),
    ]
    owner = {"provider_id": provider.id, "created_at": format_timestamp(provider.created_at)}
    return [owner | item for item in values if item]


def read_cells(item: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Returns the 48 half hours of a day's item, or of the item of the last 24 hours."""
    return tuple(_numbers_to_cells(parse_timestamp(item["start"]), unpack(bytes(item["cells"]))))


def read_days(item: Mapping[str, Any]) -> tuple[Day, ...]:
    """Returns the days with heartbeats of a month's item, oldest first."""
    month = date.fromisoformat(f"{item['entry'].removeprefix(MONTH)}-01")
    return tuple(_numbers_to_days(month, unpack(bytes(item["days"]))))


def read_current(item: Mapping[str, Any]) -> CurrentItem:
    """Returns the content of the item of the last 24 hours."""
    seed = item.get("open_incident")
    return CurrentItem(
        until=parse_timestamp(item["until"]),
        cells=read_cells(item),
        incidents=tuple(read_incident(each) for each in item["incidents"]),
        open_incident=None if seed is None else read_incident(seed),
    )


def read_incident(item: Mapping[str, Any]) -> Incident:
    """Returns the incident of an item, or of one of the maps in the item of the last 24 hours."""
    return Incident(
        begin=parse_timestamp(item["begin"]),
        end=parse_timestamp(item["end"]) if "end" in item else None,
        cause=item["cause"],
        planned=item.get("planned", False),
        number=int(item["number"]),
    )


def _day_item(day: date, roll_up: RollUp) -> Item:
    cells = cells_of_day(roll_up.cells, day)
    total = sum_day(day, cells)
    if not total.beats:
        return {}
    limits = {"min_ms": total.latencies.min_ms, "max_ms": total.latencies.max_ms}
    start = _midnight(day)
    return {
        "entry": day_key(day),
        "start": format_timestamp(start),
        "beats": total.beats,
        "good": total.good,
        "incidents": total.incidents,
        **{name: limit for name, limit in limits.items() if limit is not None},
        "cells": pack(_cells_to_numbers(cells)),
        "expires_at": _expiry(start),
    }


def _month_item(month: date, roll_up: RollUp) -> Item:
    days = [day for date_, day in roll_up.days.items() if date_.replace(day=1) == month]
    if not days:
        return {}
    return {
        "entry": month_key(month),
        "beats": sum(day.beats for day in days),
        "good": sum(day.good for day in days),
        "days": pack(_days_to_numbers(days)),
        # The last day of a month is stored as long as any other day.
        "expires_at": _expiry(_midnight(month) + timedelta(days=DAYS_PER_MONTH)),
    }


def _current_item(until: datetime, roll_up: RollUp) -> Item:
    cells = last_cells(roll_up.cells, until)
    seed = roll_up.open_incident
    return {
        "entry": CURRENT,
        "until": format_timestamp(until),
        "start": format_timestamp(cells[0].start),
        "cells": pack(_cells_to_numbers(cells)),
        "incidents": [_incident_values(incident) for incident in roll_up.incidents],
        **({} if seed is None else {"open_incident": _incident_values(seed)}),
        "expires_at": _expiry(until),
    }


def _incident_item(incident: Incident) -> Item:
    values = _incident_values(incident) | {"entry": incident_key(incident.begin)}
    return values | {"expires_at": _expiry(incident.begin)}


def _incident_values(incident: Incident) -> Item:
    values = {"begin": format_timestamp(incident.begin), "cause": incident.cause, "number": incident.number}
    end = {} if incident.end is None else {"end": format_timestamp(incident.end)}
    return values | end | ({"planned": True} if incident.planned else {})


def _cells_to_numbers(cells: Iterable[Cell]) -> Iterator[int]:
    for cell in cells:
        yield cell.beats
        if cell.beats:
            yield from (
                cell.good,
                cell.incidents,
                optional_to_number(cell.latency_ms),
                optional_to_number(cell.ttft_ms),
            )
            yield from histogram_to_numbers(cell.latencies)


def _numbers_to_cells(start: datetime, numbers: Iterator[int]) -> Iterator[Cell]:
    for number in range(CELLS_PER_DAY):
        cell = Cell(start + HALF_HOUR * number, beats=next(numbers))
        if cell.beats:
            good, incidents, latency, ttft = (next(numbers) for _ in range(4))
            cell = replace(
                cell,
                good=good,
                incidents=incidents,
                latency_ms=number_to_optional(latency),
                ttft_ms=number_to_optional(ttft),
                latencies=numbers_to_histogram(numbers),
            )
        yield cell


def _days_to_numbers(days: Iterable[Day]) -> Iterator[int]:
    by_number = {day.date.day: day for day in days}
    for number in range(1, max(by_number) + 1):
        day = by_number.get(number)
        yield day.beats if day else 0
        if day:
            yield from (day.good, day.incidents)
            yield from histogram_to_numbers(day.latencies)


def _numbers_to_days(month: date, numbers: Iterator[int]) -> Iterator[Day]:
    for offset, beats in enumerate(numbers):
        if beats:
            good, incidents = next(numbers), next(numbers)
            yield Day(month + timedelta(days=offset), beats, good, incidents, numbers_to_histogram(numbers))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _expiry(at: datetime) -> int:
    return int((at + RETENTION).timestamp())
