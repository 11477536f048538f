"""A provider's records and the text form of its times: no I/O and no third-party packages."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

Status = Literal["pending", "healthy", "failed"]

STALE_AFTER_SECONDS = 90
PROVIDER_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """How a provider is checked. `model` None stands for the provider's model, `max_tokens` None for no limit.

    `max_tokens` is 16 by default because reasoning models return an empty answer for 1.
    """

    enabled: bool = True
    model: str | None = None
    max_tokens: int | None = 16


@dataclass(frozen=True, slots=True)
class Health:
    """The result and cost of the heartbeats. Times are UTC; None means never.

    `heartbeat_tokens` counts the tokens of the UTC day `heartbeat_tokens_day`. `failure_cause_since` is the start of
    the first heartbeat that reported the current cause, None while no cause is known. `failure_cause` is that cause
    while TokenHub hides it, None while `last_heartbeat_error` is the cause itself. `max_tokens_refused_version` is the
    provider's version whose model refuses `max_tokens` and accepts `max_completion_tokens`. `failure_planned` says
    whether the provider was muted when it failed, `last_heartbeat_muted` whether it was at the last heartbeat.
    """

    status: Status = "pending"
    last_heartbeat_at: datetime | None = None
    last_heartbeat_latency_ms: int | None = None
    last_heartbeat_ttft_ms: int | None = None
    last_heartbeat_error: str | None = None
    last_heartbeat_model: str | None = None
    last_heartbeat_slot: str | None = None
    consecutive_failures: int = 0
    status_changed_at: datetime | None = None
    beats_since_stream: int = 0
    heartbeat_tokens: int = 0
    heartbeat_tokens_day: str | None = None
    failure_cause: str | None = None
    failure_cause_since: datetime | None = None
    max_tokens_refused_version: str | None = None
    last_heartbeat_warning: str | None = None
    failure_planned: bool = False
    last_heartbeat_muted: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """A registered provider.

    `version` is a new random id after each change of endpoint, key, model or heartbeat settings: a heartbeat of
    another version is outdated. `revision` is a new one after any change, and makes the ETag. Until `muted_until` its
    failures raise no alarm.
    """

    id: str
    name: str
    type: str
    endpoint: str
    description: str
    version: str
    revision: str
    created_at: datetime
    updated_at: datetime
    model: str | None = None
    key_ciphertext: bytes | None = field(default=None, repr=False)
    key_fingerprint: str | None = None
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    muted_until: datetime | None = None
    health: Health = Health()
    default: bool = False

    @property
    def origin(self) -> str:
        """Scheme, host and port of the endpoint. The key may be sent nowhere else."""
        return origin_of(self.endpoint)

    def is_muted(self, at: datetime) -> bool:
        """Whether failures at this moment raise no alarm."""
        return is_muted(self.muted_until, at)


def origin_of(url: str) -> str:
    """Returns scheme, host and port of a normalised URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def is_stale(last: datetime, now: datetime) -> bool:
    """Whether a heartbeat at `last` is too old. One in the future is too: the clock was set back."""
    return abs((now.astimezone(UTC) - last).total_seconds()) > STALE_AFTER_SECONDS


def is_muted(until: datetime | None, at: datetime) -> bool:
    """Whether a provider that is muted until `until` is muted at this moment."""
    return until is not None and at < until


def format_timestamp(time: datetime) -> str:
    """Formats a time as RFC 3339 in UTC with microseconds: sorting the text sorts by time."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def utc_day(time: datetime) -> str:
    """Returns the UTC day as YYYY-MM-DD."""
    return time.astimezone(UTC).date().isoformat()


def parse_timestamp(text: str) -> datetime:
    """Parses what `format_timestamp` returns. Raises ValueError."""
    return datetime.fromisoformat(text)
