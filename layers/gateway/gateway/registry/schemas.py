"""What the provider API takes and gives. ProviderView, an allow-list, writes every answer: a key has no field in it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gateway.registry.provider import PROVIDER_ID, HeartbeatSettings, Provider, Status, format_timestamp, utc_day

STALE_AFTER_SECONDS = 90
LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"  # a name may not hold a line break: it ends up in logs and headers

ProviderId = Annotated[str, StringConstraints(pattern=f"^{PROVIDER_ID}$")]
ProviderType = Literal["openai", "anthropic", "vllm", "ollama", "local", "custom"]
Line = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=LINE)]
ApiKey = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[\x21-\x7e]*$")]
Description = Annotated[str, StringConstraints(max_length=1024)]


def _whole(value: object) -> object:
    """16.0 is an integer to a JSON schema, and so to the clients that are made of ours."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


MaxTokens = Annotated[int, Field(ge=1, le=4096), BeforeValidator(_whole)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class HeartbeatIn(Strict):
    enabled: bool = True
    model: Line | None = None
    max_tokens: MaxTokens = 16


class ReplacementIn(Strict):
    """A replacement. Omitted `api_key`, `default` and `heartbeat` are kept; other fields take their defaults."""

    id: ProviderId | None = None
    endpoint: str
    name: Line | None = None
    type: ProviderType = "openai"
    model: Line | None = None
    api_key: ApiKey | None = Field(None, repr=False)
    description: Description = ""
    default: bool | None = None
    heartbeat: HeartbeatIn | None = None


class ProviderIn(ReplacementIn):
    """A registration: a replacement that may also be the first, so that it says its id."""

    id: ProviderId


def left_out(**options: Any) -> Any:
    """A field of a patch that need not be there. A factory, because a default would stand in the API's description."""
    return Field(default_factory=lambda: None, **options)


class Patch(Strict):
    """Changes to what is there. A model can be removed with null, and nothing else: a field that is left out stays."""

    @field_validator("*", mode="before")
    @classmethod
    def _not_null(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name != "model":
            raise PydanticCustomError("null_refused", "null is no value of this field")
        return value


class HeartbeatPatch(Patch):
    enabled: bool = left_out()
    model: Line | None = left_out()
    max_tokens: MaxTokens = left_out()


class PatchIn(Patch):
    """Some fields of a provider. `id` can only be the one that it has."""

    id: ProviderId = left_out()
    endpoint: str = left_out()
    name: Line = left_out()
    type: ProviderType = left_out()
    model: Line | None = left_out()
    api_key: ApiKey = left_out(repr=False)
    description: Description = left_out()
    default: bool = left_out()
    heartbeat: HeartbeatPatch = left_out()


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
    heartbeat_tokens_today: int
    created_at: str
    updated_at: str


def provider_view(provider: Provider, now: datetime) -> ProviderView:
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
        heartbeat_tokens_today=health.heartbeat_tokens if health.heartbeat_tokens_day == utc_day(now) else 0,
        created_at=format_timestamp(provider.created_at),
        updated_at=format_timestamp(provider.updated_at),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else format_timestamp(moment)


def _stale(provider: Provider, now: datetime) -> bool:
    """No beat for 90 s, whether beats are enabled or not: what is shown is old either way."""
    last = provider.health.last_heartbeat_at or provider.created_at
    return abs((now.astimezone(UTC) - last).total_seconds()) > STALE_AFTER_SECONDS  # a clock may have been set back


def _heartbeat(settings: HeartbeatSettings) -> HeartbeatView:
    return HeartbeatView(enabled=settings.enabled, model=settings.model, max_tokens=settings.max_tokens)
