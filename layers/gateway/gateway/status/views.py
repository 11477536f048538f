"""The JSON of the status page. The public types are allow-lists: no cause, model, endpoint or key has a field there."""

from typing import Literal, TypedDict

State = Literal["healthy", "failed", "pending", "stale"]
Uptime = TypedDict("Uptime", {"24h": float | None, "7d": float | None, "30d": float | None, "90d": float | None})


class ResponseTime(TypedDict):
    """Percentiles of the good heartbeats, in milliseconds."""

    p50: int | None
    p95: int | None


ResponseTimes = TypedDict(
    "ResponseTimes", {"24h": ResponseTime, "7d": ResponseTime, "30d": ResponseTime, "90d": ResponseTime}
)


class Cells(TypedDict):
    """The last 24 hours in intervals, oldest first. Each list has one item for each interval."""

    start: str
    minutes: int
    beats: list[int]
    good: list[int]
    latency_ms: list[int | None]
    ttft_ms: list[int | None]


class Days(TypedDict):
    """The last 90 UTC days, oldest first. Each list has one item for each day."""

    start: str
    beats: list[int]
    good: list[int]


class PublicIncident(TypedDict):
    """`end` and `seconds` are null while the incident lasts."""

    begin: str
    end: str | None
    seconds: int | None
    planned: bool


class TokenIncident(PublicIncident):
    """`cause` is the error of the first failed heartbeat, at most 200 characters."""

    cause: str


class Charts(TypedDict):
    uptime: Uptime
    response_time_ms: ResponseTimes
    cells: Cells
    days: Days


class ProviderFields(Charts):
    """`state` is `stale` if the status is out of date. `since` is when the status changed.

    `muted_until` is null while the provider is not muted.
    """

    id: str
    name: str
    state: State
    status: Literal["healthy", "failed", "pending"]
    since: str | None
    last_heartbeat_at: str | None
    muted_until: str | None


class PublicProvider(ProviderFields):
    incidents: list[PublicIncident]


class TokenProvider(ProviderFields):
    """`error` is the cause of the failure and the remedy. `warning` says that another model answers."""

    incidents: list[TokenIncident]
    default: bool
    heartbeats_enabled: bool
    latency_ms: int | None
    ttft_ms: int | None
    model: str | None
    consecutive_failures: int
    error: str | None
    warning: str | None


class Counts(TypedDict):
    """The number of providers in each state, over all pages."""

    healthy: int
    failed: int
    pending: int
    stale: int


class StatusPage(TypedDict):
    generated_at: str
    public: bool
    page: int
    pages: int
    total: int
    counts: Counts


class PublicStatus(StatusPage):
    """What everybody may read where StatusPage is `public`."""

    providers: list[PublicProvider]


class TokenStatus(StatusPage):
    """What a token may read."""

    providers: list[TokenProvider]
