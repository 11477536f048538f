"""What a provider's past beats add up to: pages of them, counts per bucket of time, uptime. Pure functions."""

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
TICK = timedelta(microseconds=1)  # the finest difference between two beats
WIDTHS = {"m": timedelta(minutes=1), "h": timedelta(hours=1)}
WIDEST = timedelta(hours=24)
UPTIME_OF = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class PastBeat:
    """What one beat met. None where it is not known."""

    at: datetime
    good: bool
    latency_ms: int | None = None
    ttft_ms: int | None = None
    error: str | None = None
    model: str | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, over good beats only: a failed one's latency is how long it took to fail."""

    min: int
    mean: int
    max: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """The beats that began in one stretch of time. `latency` is None when no beat was good."""

    start: datetime
    beats: int
    good: int
    latency: Latency | None


@dataclass(frozen=True, slots=True)
class Uptime:
    """Good beats out of all, over a day."""

    beats: int
    good: int

    @property
    def share(self) -> float | None:
        """0 to 1, or None when there was no beat."""
        return self.good / self.beats if self.beats else None


@dataclass(frozen=True, slots=True)
class Page[T]:
    """Newest first. `next` is where the next page begins; None: nothing older is left."""

    items: list[T]
    next: str | None


def past_beat(outcome: Outcome) -> PastBeat:
    """An outcome as the history tells it."""
    return PastBeat(
        at=outcome.started_at,
        good=outcome.error is None,
        latency_ms=outcome.latency_ms,
        ttft_ms=outcome.ttft_ms,
        error=outcome.error,
        model=outcome.model,
        tokens=outcome.tokens,
    )


def page_of(beats: Iterable[PastBeat], limit: int) -> Page[PastBeat]:
    """The first `limit` of the beats, which come newest first. One more is looked at, so that no page is empty."""
    found = list(islice(beats, limit + 1))
    shown = found[:limit]
    return Page(shown, cursor_of(shown[-1].at) if len(found) > limit else None)


def uptime_of(beats: Iterable[PastBeat]) -> Uptime:
    """How many of the beats were good."""
    verdicts = [beat.good for beat in beats]
    return Uptime(beats=len(verdicts), good=sum(verdicts))


def starts_of(width: timedelta, newest: datetime, oldest: datetime, limit: int) -> Page[datetime]:
    """Where the buckets begin that hold `newest`, `oldest` and all between them, `limit` of them at most.

    Buckets begin at whole multiples of their width since 1970, so that they stay where they are.
    """
    first, last = _bucket(newest, width), _bucket(oldest, width)
    shown = [EPOCH + width * n for n in range(first, max(last - 1, first - limit), -1)]
    return Page(shown, cursor_of(shown[-1]) if shown and first - limit >= last else None)


def buckets_of(beats: Iterable[PastBeat], starts: Iterable[datetime], width: timedelta) -> list[Bucket]:
    """The buckets that begin there. One without a beat is there too: a gap must be seen."""
    held: defaultdict[datetime, list[PastBeat]] = defaultdict(list)
    for beat in beats:
        held[EPOCH + width * _bucket(beat.at, width)].append(beat)
    return [_counted(start, held[start]) for start in starts]


def width_of(text: str) -> timedelta:
    """How long a bucket like `30m` or `2h` is. Raises InvalidRequest."""
    found = re.fullmatch(r"([1-9][0-9]{0,3})([mh])", text)
    width = int(found[1]) * WIDTHS[found[2]] if found else None
    if width is None or width > WIDEST:
        raise InvalidRequest("bucket is not valid: write minutes or hours like 30m or 2h, 24h at most.", param="bucket")
    return width


def cursor_of(at: datetime) -> str:
    """Where a page begins: at what is older than this moment, however many beats have come since."""
    return base64.urlsafe_b64encode(format_timestamp(at).encode()).decode()


def moment_of(cursor: str) -> datetime:
    """The opposite of `cursor_of`. Raises InvalidRequest for any other text."""
    try:
        at = parse_timestamp(base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii"))
        known = at >= EPOCH + WIDEST and cursor_of(at) == cursor
    except (ValueError, TypeError):  # TypeError: a time without a zone
        known = False
    if not known:
        raise InvalidRequest("before is not valid: send the next of an earlier answer as it was.", param="before")
    return at


def _bucket(at: datetime, width: timedelta) -> int:
    return (at - EPOCH) // width


def _counted(start: datetime, beats: list[PastBeat]) -> Bucket:
    good = [beat for beat in beats if beat.good]
    took = [beat.latency_ms for beat in good if beat.latency_ms is not None]
    latency = Latency(min(took), round(sum(took) / len(took)), max(took)) if took else None
    return Bucket(start, beats=len(beats), good=len(good), latency=latency)
