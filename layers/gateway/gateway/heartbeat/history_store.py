"""Stores the outcomes of recent heartbeats in the heartbeats table."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from gateway.heartbeat.batches import put_all
from gateway.heartbeat.health import Outcome
from gateway.heartbeat.history import (
    RESOLUTION,
    UPTIME_WINDOW,
    Bucket,
    Page,
    PastBeat,
    Uptime,
    bucket_starts,
    count_uptime,
    fill_buckets,
    first_page,
)
from gateway.registry.provider import Provider, format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

# Buckets read only these attributes, because the text of an error is most of an item.
BUCKET_ATTRIBUTES = ("at", "good", "latency_ms")
ALL_ATTRIBUTES = (*BUCKET_ATTRIBUTES, "ttft_ms", "error", "model", "tokens")
ROLL_UP_ATTRIBUTES = (*BUCKET_ATTRIBUTES, "ttft_ms", "error", "planned")
# Not with boto3's Key and Attr: all threads share their counter of placeholders, so a concurrent call gives a query the
# values of another one. findings/conditions_share_placeholders.sh shows it.
CONDITIONS = {
    "KeyConditionExpression": "provider_id = :provider_id AND #at BETWEEN :first AND :last",
    # DynamoDB deletes expired items up to days late.
    "FilterExpression": "expires_at > :now",
}
# Sorts after every timestamp.
END_OF_TIME = "~"
NUMBER_ATTRIBUTES = {"latency_ms", "ttft_ms", "tokens"}

# From the first moment to just before the second. None means no end.
type TimeRange = tuple[datetime, datetime | None]


class HistoryStore:
    """Stores and reads the history of heartbeats. Reads are consistent: they include one that was just written."""

    def __init__(self, table: "Table", *, retention: timedelta, sleep: Callable[[float], object] = time.sleep) -> None:
        """`retention` is how long an outcome is shown. DynamoDB deletes it some time later."""
        self._table = table
        self._retention = retention
        self._sleep = sleep

    def add(self, provider_id: str, outcome: Outcome) -> None:
        """Stores one outcome. Raises TableBusy and DynamoDB's errors."""
        self.add_all([(provider_id, outcome)])

    def add_all(self, beats: Sequence[tuple[str, Outcome]]) -> None:
        """Stores up to 25 outcomes, each with its provider's id. Raises TableBusy and DynamoDB's errors."""
        put_all(self._table, [self._item(*beat) for beat in beats], self._sleep)

    def _item(self, provider_id: str, outcome: Outcome) -> dict[str, Any]:
        item: dict[str, Any] = {
            "provider_id": provider_id,
            "at": format_timestamp(outcome.started_at),
            "good": outcome.error is None,
            "error": outcome.error,
            "latency_ms": outcome.latency_ms,
            "ttft_ms": outcome.ttft_ms,
            "model": outcome.model,
            "tokens": outcome.tokens,
            # Most heartbeats are not planned, and an absent attribute costs nothing.
            "planned": outcome.planned or None,
            "expires_at": int((outcome.started_at + self._retention).timestamp()),
        }
        return {name: value for name, value in item.items() if value is not None}

    def page(self, provider: Provider, *, limit: int, before: datetime | None, now: datetime) -> Page[PastBeat]:
        """Returns the last `limit` heartbeats before that moment, newest first."""
        times = (self._history_start(provider, now), before)
        return first_page(self._query(provider.id, times, now, ALL_ATTRIBUTES, page_size=limit + 1), limit)

    def buckets(
        self, provider: Provider, width: timedelta, *, limit: int, before: datetime | None, now: datetime
    ) -> Page[Bucket]:
        """Returns the last `limit` buckets that start before that moment, from now back to the oldest heartbeat."""
        oldest = self._oldest_beat(provider, now)
        if oldest is None:
            return Page([], None)
        newest = now if before is None else min(now, before - RESOLUTION)
        starts = bucket_starts(width, newest, oldest.at, limit)
        if not starts.items:
            return Page([], None)
        times = (max(oldest.at, starts.items[-1]), starts.items[0] + width)
        beats = self._query(provider.id, times, now, BUCKET_ATTRIBUTES)
        return Page(fill_buckets(beats, starts.items, width), starts.next)

    def uptime(self, provider: Provider, *, now: datetime) -> Uptime:
        """Counts the heartbeats of the last 24 hours and the good ones among them."""
        since = max(self._history_start(provider, now), now - UPTIME_WINDOW)
        return count_uptime(self._query(provider.id, (since, None), now, ("at", "good")))

    def between(self, provider: Provider, start: datetime, end: datetime, *, now: datetime) -> list[PastBeat]:
        """Returns what a roll-up needs of the heartbeats from `start` to just before `end`, oldest first."""
        times = (max(self._history_start(provider, now), start), end)
        return list(self._query(provider.id, times, now, ROLL_UP_ATTRIBUTES, newest_first=False))

    @property
    def retention(self) -> timedelta:
        """How long a heartbeat is shown."""
        return self._retention

    def _history_start(self, provider: Provider, now: datetime) -> datetime:
        """Returns the time before which heartbeats have expired or belong to a deleted provider with the same id."""
        return max(provider.created_at, now - self._retention)

    def _oldest_beat(self, provider: Provider, now: datetime) -> PastBeat | None:
        times = (self._history_start(provider, now), None)
        ascending = self._query(provider.id, times, now, BUCKET_ATTRIBUTES, newest_first=False, page_size=1)
        return next(ascending, None)

    def _query(
        self,
        provider_id: str,
        times: TimeRange,
        now: datetime,
        attributes: tuple[str, ...],
        *,
        newest_first: bool = True,
        page_size: int | None = None,
    ) -> Iterator[PastBeat]:
        """Yields the unexpired heartbeats of a time range. Reads further pages only when the caller goes on."""
        first, last = _key_range(times)
        if last < first:
            # DynamoDB rejects a reversed BETWEEN.
            return
        values = {":provider_id": provider_id, ":first": first, ":last": last, ":now": int(now.timestamp())}
        query: dict[str, Any] = {
            **_projection(attributes),
            **CONDITIONS,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": not newest_first,
            "ConsistentRead": True,
        }
        if page_size is not None:
            query["Limit"] = page_size
        while True:
            result = self._table.query(**query)
            yield from (_read_beat(item) for item in result["Items"])
            if "LastEvaluatedKey" not in result:
                return
            query["ExclusiveStartKey"] = result["LastEvaluatedKey"]
            # Limit also counts expired items: pages of one item could take thousands of queries.
            query.pop("Limit", None)


def _projection(attributes: Iterable[str]) -> dict[str, Any]:
    # The placeholders avoid DynamoDB's reserved words.
    return {
        "ProjectionExpression": ", ".join(f"#{name}" for name in attributes),
        "ExpressionAttributeNames": {f"#{name}": name for name in attributes},
    }


def _key_range(times: TimeRange) -> tuple[str, str]:
    """Returns the first and the last sort key of a time range. They are in the wrong order for an empty range."""
    since, before = times
    return format_timestamp(since), END_OF_TIME if before is None else format_timestamp(before - RESOLUTION)


def _read_beat(item: Mapping[str, Any]) -> PastBeat:
    # DynamoDB returns numbers as Decimal.
    values: dict[str, Any] = {name: int(value) if name in NUMBER_ATTRIBUTES else value for name, value in item.items()}
    return PastBeat(**values | {"at": parse_timestamp(item["at"])})
