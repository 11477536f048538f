"""The heartbeats table: what each beat met, for some days."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, Key

from gateway.heartbeat.health import Outcome
from gateway.heartbeat.history import (
    TICK,
    UPTIME_OF,
    Bucket,
    Page,
    PastBeat,
    Uptime,
    buckets_of,
    page_of,
    starts_of,
    uptime_of,
)
from gateway.registry.provider import Provider, format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

COUNTED = ("at", "good", "latency_ms")  # what counting needs: an error's words are most of an item
SHOWN = (*COUNTED, "ttft_ms", "error", "model", "tokens")
NUMBERS = {"latency_ms", "ttft_ms", "tokens"}
Range = tuple[datetime, datetime | None]
MAX_AT_ONCE = 25  # BatchWriteItem takes no more
ATTEMPTS = 4
PAUSE_SECONDS = 0.1  # doubled after each attempt


class HistoryFull(Exception):
    """DynamoDB left some outcomes unwritten, again and again."""


class HistoryStore:
    """The history of beats. Reads are consistent: a beat just written is in them."""

    def __init__(self, table: "Table", *, kept: timedelta, sleep: Callable[[float], object] = time.sleep) -> None:
        """`kept` is how long an outcome is kept and shown; DynamoDB deletes it some time after."""
        self._table = table
        self._kept = kept
        self._sleep = sleep

    def add(self, provider_id: str, outcome: Outcome) -> None:
        """Keeps one outcome."""
        self.add_all([(provider_id, outcome)])

    def add_all(self, beats: Sequence[tuple[str, Outcome]]) -> None:
        """Keeps up to 25 outcomes, each under its provider's id. Raises HistoryFull where some could not be kept."""
        left: Mapping[str, Any] = {self._table.name: [{"PutRequest": {"Item": self._item(*beat)}} for beat in beats]}
        for attempt in range(ATTEMPTS):
            left = self._table.meta.client.batch_write_item(RequestItems=left)["UnprocessedItems"]
            if not left:
                return
            self._sleep(PAUSE_SECONDS * 2**attempt)
        raise HistoryFull

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
            "expires_at": int((outcome.started_at + self._kept).timestamp()),
        }
        return {name: value for name, value in item.items() if value is not None}

    def page(self, provider: Provider, *, limit: int, before: datetime | None, now: datetime) -> Page[PastBeat]:
        """The last `limit` beats before that moment, newest first."""
        kept = (self._oldest(provider, now), before)
        return page_of(self._beats(provider.id, kept, now, SHOWN, at_once=limit + 1), limit)

    def buckets(
        self, provider: Provider, width: timedelta, *, limit: int, before: datetime | None, now: datetime
    ) -> Page[Bucket]:
        """The last `limit` buckets that begin before that moment, from now back to the oldest beat."""
        whole = (self._oldest(provider, now), None)
        ascending = self._beats(provider.id, whole, now, COUNTED, newest_first=False, at_once=1)
        oldest = next(ascending, None)
        if oldest is None:
            return Page([], None)
        newest = now if before is None else min(now, before - TICK)
        starts = starts_of(width, newest, oldest.at, limit)
        if not starts.items:
            return Page([], None)
        held = (max(oldest.at, starts.items[-1]), starts.items[0] + width)
        return Page(buckets_of(self._beats(provider.id, held, now, COUNTED), starts.items, width), starts.next)

    def uptime(self, provider: Provider, *, now: datetime) -> Uptime:
        """How many of the last 24 hours' beats were good."""
        since = max(self._oldest(provider, now), now - UPTIME_OF)
        return uptime_of(self._beats(provider.id, (since, None), now, ("at", "good")))

    def _oldest(self, provider: Provider, now: datetime) -> datetime:
        """Where a provider's history begins: what is older is a deleted predecessor's of the same id, or expired."""
        return max(provider.created_at, now - self._kept)

    def _beats(
        self,
        provider_id: str,
        between: Range,
        now: datetime,
        names: tuple[str, ...],
        *,
        newest_first: bool = True,
        at_once: int | None = None,
    ) -> Iterator[PastBeat]:
        """The kept beats from the first moment to just before the second, read as far as they are asked for."""
        times = _times(between)
        if times is None:
            return
        query: dict[str, Any] = {
            "KeyConditionExpression": Key("provider_id").eq(provider_id) & times,
            "FilterExpression": Attr("expires_at").gt(int(now.timestamp())),  # DynamoDB deletes days too late
            "ProjectionExpression": ", ".join(f"#{name}" for name in names),
            "ExpressionAttributeNames": {f"#{name}": name for name in names},  # DynamoDB reserves plain words
            "ScanIndexForward": not newest_first,
            "ConsistentRead": True,
        }
        if at_once is not None:
            query["Limit"] = at_once
        while True:
            found = self._table.query(**query)
            yield from (_past_beat(item) for item in found["Items"])
            if "LastEvaluatedKey" not in found:
                return
            query["ExclusiveStartKey"] = found["LastEvaluatedKey"]
            query.pop("Limit", None)  # it counts what has expired, too: one at a time would take thousands of queries


def _times(between: Range) -> Any:
    """The condition of a query, or None where it could find nothing: DynamoDB refuses an upside-down BETWEEN."""
    since, before = between
    if before is None:
        return Key("at").gte(format_timestamp(since))
    last = before - TICK
    return Key("at").between(format_timestamp(since), format_timestamp(last)) if last >= since else None


def _past_beat(item: Mapping[str, Any]) -> PastBeat:
    """DynamoDB gives numbers as Decimal."""
    values: dict[str, Any] = {name: int(value) if name in NUMBERS else value for name, value in item.items()}
    return PastBeat(**values | {"at": parse_timestamp(item["at"])})
