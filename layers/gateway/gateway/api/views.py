"""What the provider API tells of heartbeats, models and errors. Provider records have their own, in `models`."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from gateway.heartbeat.history import Bucket, Page, PastBeat, Uptime
from gateway.registry.provider import format_timestamp


class BeatView(BaseModel):
    """What one beat met. Null where it is not known."""

    at: str
    status: Literal["healthy", "failed"]
    latency_ms: int | None
    ttft_ms: int | None
    error: str | None
    model: str | None
    tokens: int | None


class BeatNowView(BeatView):
    """The beat that was asked for."""

    id: str


class LatencyView(BaseModel):
    """Milliseconds, over good beats only: a failed one's latency is how long it took to fail."""

    min: int
    mean: int
    max: int


class BucketView(BaseModel):
    """The beats that began in one stretch of time; 0 of them where there was a gap."""

    start: str = Field(serialization_alias="from")
    beats: int
    good: int
    latency_ms: LatencyView | None


class UptimeView(BaseModel):
    """`next` is where the next page begins, null at the end; uptime is null when there was no beat in 24 hours."""

    next: str | None
    uptime_24h: Annotated[float, Field(ge=0, le=1)] | None
    beats_24h: int
    good_24h: int


class HistoryView(UptimeView):
    """Beats, newest first."""

    items: list[BeatView]


class BucketsView(UptimeView):
    """Buckets of beats, newest first, without a gap."""

    items: list[BucketView]


class ModelsView(BaseModel):
    """The models as TokenHub lists them."""

    models: list[Any]


class OkView(BaseModel):
    """The gateway answers."""

    status: Literal["ok"] = "ok"


class ErrorDetail(BaseModel):
    """`message` says what happened and what to do; `code` is stable; `param` names the field, where there is one."""

    message: str
    type: str
    code: str
    param: str | None


class ErrorView(BaseModel):
    """The one shape of every error."""

    error: ErrorDetail


def beat_view(beat: PastBeat) -> BeatView:
    """A beat as the history shows it."""
    return BeatView(**_beat(beat))


def beat_now_view(provider_id: str, beat: PastBeat) -> BeatNowView:
    """The outcome of a beat that was asked for."""
    return BeatNowView(id=provider_id, **_beat(beat))


def history_view(page: Page[PastBeat], uptime: Uptime) -> HistoryView:
    """A page of beats."""
    return HistoryView(items=[beat_view(beat) for beat in page.items], next=page.next, **_uptime(uptime))


def buckets_view(page: Page[Bucket], uptime: Uptime) -> BucketsView:
    """A page of buckets."""
    return BucketsView(items=[_bucket(bucket) for bucket in page.items], next=page.next, **_uptime(uptime))


def _beat(beat: PastBeat) -> dict[str, Any]:
    values = asdict(beat)
    return values | {"at": format_timestamp(beat.at), "status": "healthy" if values.pop("good") else "failed"}


def _bucket(bucket: Bucket) -> BucketView:
    latency = None if bucket.latency is None else LatencyView(**asdict(bucket.latency))
    return BucketView(start=format_timestamp(bucket.start), beats=bucket.beats, good=bucket.good, latency_ms=latency)


def _uptime(uptime: Uptime) -> dict[str, Any]:
    return {"uptime_24h": uptime.share, "beats_24h": uptime.beats, "good_24h": uptime.good}
