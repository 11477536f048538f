"""What the provider API takes and gives. ProviderView, an allow-list, writes every answer: a key has no field in it."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.records import ID, HeartbeatSettings, Provider, Status, timestamp

STALE_AFTER_SECONDS = 90

ProviderId = Annotated[str, StringConstraints(pattern=f"^{ID}$")]
ProviderType = Literal["openai", "anthropic", "vllm", "ollama", "local", "custom"]
Line = r"^[^\x00-\x1f\x7f]*$"  # a name may not hold a line break: it ends up in logs and headers


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class HeartbeatIn(Strict):
    enabled: bool = True
    model: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=Line)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 16


class ProviderIn(Strict):
    """A registration. Omitted `api_key`, `default` and `heartbeat` are kept; other fields take their defaults."""

    id: ProviderId
    endpoint: str
    name: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=Line)] | None = None
    type: ProviderType = "openai"
    model: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=Line)] | None = None
    api_key: Annotated[str, StringConstraints(max_length=2048, pattern=r"^[\x21-\x7e]*$")] | None = Field(
        None, repr=False
    )
    description: Annotated[str, StringConstraints(max_length=1024)] = ""
    default: bool | None = None
    heartbeat: HeartbeatIn | None = None


class HeartbeatView(BaseModel):
    enabled: bool
    model: str | None
    max_tokens: int


class ProviderView(BaseModel):
    """A provider as it is read. Times are RFC 3339 UTC, null when never."""

    id: str
    name: str
    type: str
    endpoint: str
    model: str | None
    description: str
    default: bool
    requires_key: bool
    key_fingerprint: str | None
    status: Status
    last_heartbeat_at: str | None
    last_heartbeat_latency_ms: int | None
    last_heartbeat_ttft_ms: int | None
    last_heartbeat_error: str | None
    last_heartbeat_model: str | None
    consecutive_failures: int
    status_changed_at: str | None
    stale: bool
    heartbeat: HeartbeatView
    created_at: str
    updated_at: str


def view(provider: Provider, now: datetime) -> ProviderView:
    """What may be shown of a provider at this moment."""
    health = provider.health
    return ProviderView(
        id=provider.id,
        name=provider.name,
        type=provider.type,
        endpoint=provider.endpoint,
        model=provider.model,
        description=provider.description,
        default=provider.default,
        requires_key=provider.key_ciphertext is not None,
        key_fingerprint=provider.key_fingerprint,
        status=health.status,
        last_heartbeat_at=_text(health.last_heartbeat_at),
        last_heartbeat_latency_ms=health.last_heartbeat_latency_ms,
        last_heartbeat_ttft_ms=health.last_heartbeat_ttft_ms,
        last_heartbeat_error=health.last_heartbeat_error,
        last_heartbeat_model=health.last_heartbeat_model,
        consecutive_failures=health.consecutive_failures,
        status_changed_at=_text(health.status_changed_at),
        stale=_stale(provider, now),
        heartbeat=_heartbeat(provider.heartbeat),
        created_at=timestamp(provider.created_at),
        updated_at=timestamp(provider.updated_at),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)


def _stale(provider: Provider, now: datetime) -> bool:
    """No beat for 90 s, whether beats are enabled or not: what is shown is old either way."""
    last = provider.health.last_heartbeat_at or provider.created_at
    return (now.astimezone(UTC) - last).total_seconds() > STALE_AFTER_SECONDS


def _heartbeat(settings: HeartbeatSettings) -> HeartbeatView:
    return HeartbeatView(enabled=settings.enabled, model=settings.model, max_tokens=settings.max_tokens)
