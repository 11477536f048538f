"""Pages, time buckets and uptime of a provider's past heartbeats. Pure functions."""

import base64
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from gateway.core.errors import InvalidRequest
from gateway.heartbeat.health import Outcome
from gateway.registry.provider import format_timestamp, parse_timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The resolution of timestamps: the smallest difference between two heartbeats.
RESOLUTION = timedelta(microseconds=1)
WIDTH_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1)}
MAX_BUCKET_WIDTH = timedelta(hours=24)
UPTIME_WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class PastBeat:
    """The outcome of a heartbeat as the history shows it. None means unknown.

    `planned` says whether the provider was muted.
    """

    at: datetime
    good: bool
    latency_ms: int | None = None
    ttft_ms: int | None = None
    error: str | None = None
    model: str | None = None
    tokens: int | None = None
    planned: bool = False


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, over good heartbeats only: the latency of a failed heartbeat is how long it took to fail."""

    min: int
    mean: int
    max: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """The heartbeats that started within one time bucket. `latency` is None when no heartbeat was good."""

    start: datetime
    beats: int
    good: int
    latency: Latency | None


@dataclass(frozen=True, slots=True)
class Uptime:
    """The number of heartbeats and of good heartbeats within a period.

    `p50_ms` and `p95_ms` are percentiles of the good ones' latencies, None where they are unknown.
    """

    beats: int
    good: int
    p50_ms: float | None = None
    p95_ms: float | None = None

    @property
    def share(self) -> float | None:
        """The share of good heartbeats, 0 to 1. None without heartbeats."""
        return self.good / self.beats if self.beats else None


@dataclass(frozen=True, slots=True)
class Page[T]:
    """Items, newest first. `next` is the cursor of the next page, None on the last page."""

    items: list[T]
    next: str | None


def to_past_beat(outcome: Outcome) -> PastBeat:
    """Returns an outcome as the history shows it."""
    return PastBeat(
        at=outcome.started_at,
        good=outcome.error is None,
        latency_ms=outcome.latency_ms,
        ttft_ms=outcome.ttft_ms,
        error=outcome.error,
        model=outcome.model,
        tokens=outcome.tokens,
        planned=outcome.planned,
    )


def first_page(beats: Iterable[PastBeat], limit: int) -> Page[PastBeat]:
    """Returns the first `limit` of the heartbeats, which must be newest first.

    Reads one heartbeat more than it returns, so that `next` never leads to an empty page.
    """
    read = list(islice(beats, limit + 1))
    items = read[:limit]
    return Page(items, encode_cursor(items[-1].at) if len(read) > limit else None)


def count_uptime(beats: Iterable[PastBeat]) -> Uptime:
    """Counts the heartbeats and the good ones among them."""
    results = [beat.good for beat in beats]
    return Uptime(beats=len(results), good=sum(results))


def bucket_starts(width: timedelta, newest: datetime, oldest: datetime, limit: int) -> Page[datetime]:
    """Returns the starts of the buckets from `newest` back to `oldest`, at most `limit`, newest first.

    Buckets start at multiples of their width since 1970, so that the same heartbeat always falls into the same bucket.
    """
    first, last = _bucket_number(newest, width), _bucket_number(oldest, width)
    starts = [EPOCH + width * number for number in range(first, max(last - 1, first - limit), -1)]
    return Page(starts, encode_cursor(starts[-1]) if starts and first - limit >= last else None)


def fill_buckets(beats: Iterable[PastBeat], starts: Iterable[datetime], width: timedelta) -> list[Bucket]:
    """Returns one bucket for each start, an empty one where no heartbeat started, so that gaps stay visible."""
    by_start: defaultdict[datetime, list[PastBeat]] = defaultdict(list)
    for beat in beats:
        by_start[EPOCH + width * _bucket_number(beat.at, width)].append(beat)
    return [_make_bucket(start, by_start[start]) for start in starts]


def parse_bucket_width(text: str) -> timedelta:
    """Parses a width such as `30m` or `2h`. Raises InvalidRequest."""
    match = re.fullmatch(r"([1-9][0-9]{0,3})([mh])", text)
    width = int(match[1]) * WIDTH_UNITS[match[2]] if match else None
    if width is None or width > MAX_BUCKET_WIDTH:
        raise InvalidRequest(
            "bucket is not valid. Send minutes or hours such as 30m or 2h, at most 24h.", param="bucket"
        )
    return width


def encode_cursor(at: datetime) -> str:
    """Returns the cursor of the page of items older than this moment. New heartbeats do not move it."""
    return base64.urlsafe_b64encode(format_timestamp(at).encode()).decode()


def decode_cursor(cursor: str) -> datetime:
    """Returns the moment that `encode_cursor` encoded. Raises InvalidRequest for any other text."""
    try:
        at = parse_timestamp(base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii"))
        # A comparison with a time without a zone raises TypeError.
        valid = at >= EPOCH + MAX_BUCKET_WIDTH and encode_cursor(at) == cursor
    except (ValueError, TypeError):
        valid = False
    if not valid:
        raise InvalidRequest("before is not valid. Send the next of an earlier answer unchanged.", param="before")
    return at


def _bucket_number(at: datetime, width: timedelta) -> int:
    return (at - EPOCH) // width


def _make_bucket(start: datetime, beats: list[PastBeat]) -> Bucket:
    good = [beat for beat in beats if beat.good]
    latencies = [beat.latency_ms for beat in good if beat.latency_ms is not None]
    latency = None
    if latencies:
        latency = Latency(min(latencies), round(sum(latencies) / len(latencies)), max(latencies))
    return Bucket(start, beats=len(beats), good=len(good), latency=latency)
