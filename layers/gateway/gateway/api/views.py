"""The response bodies for heartbeats, models and errors. Those for providers are in `registry.schemas`."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from gateway.heartbeat.history import Bucket, Page, PastBeat, Uptime
from gateway.registry.provider import format_timestamp
from gateway.registry.schemas import Deferred
from gateway.status.views import PublicStatus, TokenStatus


class BeatView(Deferred):
    """The result of one heartbeat. Unknown values are null."""

    at: str
    status: Literal["healthy", "failed"]
    latency_ms: int | None
    ttft_ms: int | None
    error: str | None
    model: str | None
    tokens: int | None


class BeatNowView(BeatView):
    """The result of a heartbeat that was requested now."""

    id: str


class LatencyView(Deferred):
    """Milliseconds of the good heartbeats. Failed ones are excluded: their latency is the time until they failed."""

    min: int
    mean: int
    max: int


class BucketView(Deferred):
    """The heartbeats that began in one bucket of time. A gap has 0 of them."""

    start: str = Field(serialization_alias="from")
    beats: int
    good: int
    latency_ms: LatencyView | None


class UptimeView(Deferred):
    """`next` is the cursor of the next page, null on the last one. Uptime is null without a heartbeat in 24 hours."""

    next: str | None
    uptime_24h: Annotated[float, Field(ge=0, le=1)] | None
    beats_24h: int
    good_24h: int


class HistoryView(UptimeView):
    """Heartbeats, newest first."""

    items: list[BeatView]


class BucketsView(UptimeView):
    """Buckets of heartbeats, newest first, without gaps."""

    items: list[BucketView]


class ModelsView(Deferred):
    """The models as TokenHub lists them."""

    models: list[Any]


class OkView(Deferred):
    """The gateway answers."""

    status: Literal["ok"] = "ok"


class ErrorDetail(Deferred):
    """`message` says what happened and what to do. `code` never changes. `param` is the invalid field, or null."""

    message: str
    type: str
    code: str
    param: str | None


class ErrorView(Deferred):
    """All errors have this shape."""

    type: Literal["error"]
    error: ErrorDetail


def status_schemas(ref_template: str) -> dict[str, Any]:
    """Returns the JSON schemas of the status page's data, by name. The status function itself needs no pydantic."""
    both = TypeAdapter(tuple[PublicStatus, TokenStatus]).json_schema(mode="serialization", ref_template=ref_template)
    return dict(both["$defs"])


def beat_view(beat: PastBeat) -> BeatView:
    return BeatView(**_beat(beat))


def beat_now_view(provider_id: str, beat: PastBeat) -> BeatNowView:
    return BeatNowView(id=provider_id, **_beat(beat))


def history_view(page: Page[PastBeat], uptime: Uptime) -> HistoryView:
    return HistoryView(items=[beat_view(beat) for beat in page.items], next=page.next, **_uptime(uptime))


def buckets_view(page: Page[Bucket], uptime: Uptime) -> BucketsView:
    return BucketsView(items=[_bucket(bucket) for bucket in page.items], next=page.next, **_uptime(uptime))


def _beat(beat: PastBeat) -> dict[str, Any]:
    values = asdict(beat)
    return values | {"at": format_timestamp(beat.at), "status": "healthy" if values.pop("good") else "failed"}


def _bucket(bucket: Bucket) -> BucketView:
    latency = None if bucket.latency is None else LatencyView(**asdict(bucket.latency))
    return BucketView(start=format_timestamp(bucket.start), beats=bucket.beats, good=bucket.good, latency_ms=latency)


def _uptime(uptime: Uptime) -> dict[str, Any]:
    return {"uptime_24h": uptime.share, "beats_24h": uptime.beats, "good_24h": uptime.good}
