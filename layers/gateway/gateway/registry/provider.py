"""What is known of a provider: plain data, without I/O and without third-party packages."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

Status = Literal["pending", "healthy", "failed"]

PROVIDER_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """How a provider is checked. `model` None: the provider's own."""

    enabled: bool = True
    model: str | None = None
    max_tokens: int = 16  # reasoning models answer nothing at all to 1


@dataclass(frozen=True, slots=True)
class Health:
    """What the beats have shown, and what they cost. Times are UTC and None when there was none."""

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
    heartbeat_tokens_day: str | None = None  # the UTC day that they were spent on


@dataclass(frozen=True, slots=True)
class Provider:
    """A registered provider.

    `version` is made anew by every change of endpoint, key, model or beat settings, so that a beat of
    another version is known to be outdated; `revision` by every change at all (it is the ETag).
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
    health: Health = Health()
    default: bool = False

    @property
    def origin(self) -> str:
        """Scheme, host and port of the endpoint: where its key may go."""
        return origin_of(self.endpoint)


def origin_of(url: str) -> str:
    """Scheme, host and port of a normalised URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def format_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def utc_day(moment: datetime) -> str:
    """The UTC day."""
    return moment.astimezone(UTC).date().isoformat()


def parse_timestamp(text: str) -> datetime:
    """The opposite of `timestamp`."""
    return datetime.fromisoformat(text)
