"""Stores the roll-ups of heartbeats. No other module accesses the roll-ups table."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any

from gateway.heartbeat.batches import MAX_ITEMS_PER_CALL, Sleep, get_all, put_all
from gateway.heartbeat.history import RESOLUTION, Page, encode_cursor
from gateway.heartbeat.rollup_items import (
    CURRENT,
    DAY,
    INCIDENT,
    MONTH,
    RETENTION,
    Item,
    day_key,
    incident_key,
    month_key,
    read_cells,
    read_current,
    read_days,
    read_incident,
)
from gateway.heartbeat.rollups import ONE_DAY, Incident, RollUp
from gateway.heartbeat.summaries import HasHistory, ProviderHistory, first_day, summarize, with_live_status
from gateway.registry.provider import Provider, format_timestamp

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

PAGE_ATTRIBUTES = ("provider_id", "entry", "created_at", "expires_at", "until", "start", "cells", "incidents", "days")
INCIDENT_ATTRIBUTES = ("begin", "end", "cause", "planned", "number")
# Sorts after every timestamp.
END_OF_TIME = f"{INCIDENT}~"


class RollUpStore:
    """The stored roll-ups. Reads leave out expired items and those of a deleted provider with the same id."""

    def __init__(self, table: "Table", *, sleep: Sleep = time.sleep) -> None:
        self._table = table
        self._sleep = sleep

    def roll_ups(self, providers: Sequence[Provider], end: datetime) -> dict[str, RollUp]:
        """Returns what the next roll-up of each provider needs, by provider id. `end` is the end of its window."""
        days = sorted({(end - ONE_DAY).date(), end.date()})
        entries = [CURRENT, *map(day_key, days), *sorted({month_key(day) for day in days})]
        items = self._read(providers, entries, end, {"ConsistentRead": True})
        return {provider.id: _to_roll_up(items[provider.id]) for provider in providers}

    def write(self, items: Iterable[Item]) -> None:
        """Puts the items of roll-ups, those of the last 24 hours last. Raises TableBusy and DynamoDB's errors."""
        ordered = sorted(items, key=lambda item: bool(item["entry"] == CURRENT))
        for is_last in (False, True):
            part = [item for item in ordered if (item["entry"] == CURRENT) is is_last]
            for batch in batched(part, MAX_ITEMS_PER_CALL, strict=False):
                put_all(self._table, batch, self._sleep)

    def read_summaries(self, providers: Sequence[HasHistory], now: datetime) -> dict[str, ProviderHistory]:
        """Returns the past of each provider by its id. Reads at most five items of each one.

        The reads are eventually consistent, which costs half.
        """
        items = self._read(providers, [CURRENT, *_months(now)], now, _projection(PAGE_ATTRIBUTES))
        return {provider.id: _to_summary(items[provider.id], provider, now) for provider in providers}

    def incidents(self, provider: Provider, *, limit: int, before: datetime | None, now: datetime) -> Page[Incident]:
        """Returns the last `limit` incidents that began before that moment, newest first."""
        stored = list(self._query_incidents(provider, before, now, limit + 1))
        incidents = list(with_live_status(stored, provider.health)) if before is None else stored
        page = incidents[:limit]
        return Page(page, encode_cursor(page[-1].begin) if len(incidents) > limit else None)

    def _read(
        self, providers: Sequence[HasHistory], entries: Sequence[str], now: datetime, options: Mapping[str, Any]
    ) -> defaultdict[str, list[Item]]:
        """Returns the valid items with these sort keys by provider id."""
        created = {provider.id: format_timestamp(provider.created_at) for provider in providers}
        keys = [{"provider_id": provider.id, "entry": entry} for provider in providers for entry in entries]
        items: defaultdict[str, list[Item]] = defaultdict(list)
        for item in get_all(self._table, keys, options, self._sleep):
            if item["created_at"] == created[item["provider_id"]] and item["expires_at"] > now.timestamp():
                items[item["provider_id"]].append(item)
        return items

    def _query_incidents(
        self, provider: Provider, before: datetime | None, now: datetime, count: int
    ) -> Iterator[Incident]:
        since = incident_key(max(provider.created_at, now - RETENTION))
        last = END_OF_TIME if before is None else incident_key(before - RESOLUTION)
        if last < since:
            # DynamoDB rejects a reversed BETWEEN.
            return
        query: dict[str, Any] = {
            # Without boto3's Key and Attr, for the reason in history_store.py.
            "KeyConditionExpression": "provider_id = :provider_id AND entry BETWEEN :first AND :last",
            "FilterExpression": "expires_at > :now AND created_at = :created_at",
            "ExpressionAttributeValues": {
                ":provider_id": provider.id,
                ":first": since,
                ":last": last,
                ":now": int(now.timestamp()),
                ":created_at": format_timestamp(provider.created_at),
            },
            "ScanIndexForward": False,
            "ConsistentRead": True,
            **_projection(INCIDENT_ATTRIBUTES),
        }
        while count > 0:
            result = self._table.query(**query, Limit=count)
            yield from (read_incident(item) for item in result["Items"])
            count -= len(result["Items"])
            if "LastEvaluatedKey" not in result:
                return
            query["ExclusiveStartKey"] = result["LastEvaluatedKey"]


def _to_roll_up(items: Iterable[Item]) -> RollUp:
    by_entry = {item["entry"]: item for item in items}
    current = read_current(by_entry[CURRENT]) if CURRENT in by_entry else None
    cells = [cell for item in _with_prefix(by_entry, DAY) for cell in read_cells(item) if cell.beats]
    days = [day for item in _with_prefix(by_entry, MONTH) for day in read_days(item)]
    return RollUp(
        until=current.until if current else None,
        cells={cell.start: cell for cell in cells},
        days={day.date: day for day in days},
        incidents=current.incidents if current else (),
        open_incident=current.open_incident if current else None,
    )


def _to_summary(items: Iterable[Item], provider: HasHistory, now: datetime) -> ProviderHistory:
    by_entry = {item["entry"]: item for item in items}
    current = read_current(by_entry[CURRENT]) if CURRENT in by_entry else None
    days = [day for item in _with_prefix(by_entry, MONTH) for day in read_days(item)]
    return summarize(current, days, provider.health, now)


def _with_prefix(items: Mapping[str, Item], prefix: str) -> list[Item]:
    return [item for entry, item in items.items() if entry.startswith(prefix)]


def _months(now: datetime) -> list[str]:
    """Returns the sort keys of the months of the last 90 days: three or four."""
    days: list[date] = [first_day(now) + timedelta(days=number) for number in range(90)]
    return sorted({month_key(day) for day in days})


def _projection(attributes: Sequence[str]) -> dict[str, Any]:
    # The placeholders avoid DynamoDB's reserved words.
    return {
        "ProjectionExpression": ", ".join(f"#{name}" for name in attributes),
        "ExpressionAttributeNames": {f"#{name}": name for name in attributes},
    }
