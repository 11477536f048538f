"""Request and response bodies of the provider API. ProviderView is an allow-list without a field for the key."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gateway.registry.muting import parse_muted_until
from gateway.registry.provider import (
    PROVIDER_ID,
    HeartbeatSettings,
    Provider,
    Status,
    format_timestamp,
    is_stale,
    utc_day,
)

# The start of an Authorization header or of its value, which users paste instead of the key.
BEARER = re.compile(r"\s*[\"']?(?:authorization\s*:\s*)?bearer(?:\s|$)", re.IGNORECASE)
# Names appear in logs and headers, so they may not contain line breaks or control characters.
LINE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"

ProviderId = Annotated[str, StringConstraints(pattern=f"^{PROVIDER_ID}$")]
ProviderType = Literal["openai", "anthropic", "vllm", "ollama", "local", "custom"]
Line = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=LINE_PATTERN)]
Description = Annotated[str, StringConstraints(max_length=1024)]


def _integer(value: object) -> object:
    """JSON Schema accepts 16.0 as an integer, and so do clients generated from our OpenAPI document."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without_bearer(value: object) -> object:
    if isinstance(value, str) and BEARER.match(value):
        raise PydanticCustomError("bearer_key", "begins with Bearer")
    return value


ApiKey = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[\x21-\x7e]*$"), BeforeValidator(_without_bearer)]
MutedUntil = Annotated[datetime | None, BeforeValidator(parse_muted_until)]
MaxTokens = Annotated[int, Field(ge=1, le=4096), BeforeValidator(_integer)]


class Deferred(BaseModel):
    """Base of all bodies. pydantic builds a validator at its first use, because each request needs only few of them.

    Building all of them takes 3 % of the provider API's init.
    """

    model_config = ConfigDict(defer_build=True)


class Strict(Deferred):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class HeartbeatIn(Strict):
    enabled: bool = True
    model: Line | None = None
    max_tokens: MaxTokens | None = 16


class ReplacementIn(Strict):
    """A replacement (PUT).

    Omitted `api_key`, `default`, `heartbeat` and `muted_until` stay; other fields take their defaults.
    """

    id: ProviderId | None = None
    endpoint: str
    name: Line | None = None
    type: ProviderType = "openai"
    model: Line | None = None
    api_key: ApiKey | None = Field(None, repr=False)
    description: Description = ""
    default: bool | None = None
    heartbeat: HeartbeatIn | None = None
    muted_until: MutedUntil = None


class ProviderIn(ReplacementIn):
    """A registration (POST): creates or replaces the provider with this id."""

    id: ProviderId


# The fields that a patch may remove with null.
NULLABLE = {"model", "max_tokens", "muted_until"}


def omittable(**options: Any) -> Any:
    """An optional field of a patch. A factory, because a plain default would appear in the OpenAPI document."""
    return Field(default_factory=lambda: None, **options)


class Patch(Strict):
    """Changes to an existing record. Omitted fields stay. Null removes the value of a field in NULLABLE only."""

    @field_validator("*", mode="before")
    @classmethod
    def _not_null(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name not in NULLABLE:
            raise PydanticCustomError("null_refused", "null is not allowed for this field")
        return value


class HeartbeatPatch(Patch):
    enabled: bool = omittable()
    model: Line | None = omittable()
    max_tokens: MaxTokens | None = omittable()


class PatchIn(Patch):
    """Changes to a provider (PATCH). `id` must be the provider's own."""

    id: ProviderId = omittable()
    endpoint: str = omittable()
    name: Line = omittable()
    type: ProviderType = omittable()
    model: Line | None = omittable()
    api_key: ApiKey = omittable(repr=False)
    description: Description = omittable()
    default: bool = omittable()
    heartbeat: HeartbeatPatch = omittable()
    muted_until: MutedUntil = omittable()


class HeartbeatView(Deferred):
    enabled: bool
    model: str | None
    max_tokens: int | None


class ProviderView(Deferred):
    """A provider in a response. Times are RFC 3339 in UTC; null means never. `muted_until` is null while not muted."""

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
    last_heartbeat_warning: str | None
    last_heartbeat_model: str | None
    consecutive_failures: int
    status_changed_at: str | None
    stale: bool
    heartbeat: HeartbeatView
    muted_until: str | None
    heartbeat_tokens_today: int
    created_at: str
    updated_at: str


def provider_view(provider: Provider, now: datetime) -> ProviderView:
    """Returns the provider's public view at the time `now`."""
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
        last_heartbeat_at=_optional_timestamp(health.last_heartbeat_at),
        last_heartbeat_latency_ms=health.last_heartbeat_latency_ms,
        last_heartbeat_ttft_ms=health.last_heartbeat_ttft_ms,
        last_heartbeat_error=health.last_heartbeat_error,
        last_heartbeat_warning=health.last_heartbeat_warning,
        last_heartbeat_model=health.last_heartbeat_model,
        consecutive_failures=health.consecutive_failures,
        status_changed_at=_optional_timestamp(health.status_changed_at),
        stale=_is_stale(provider, now),
        heartbeat=_heartbeat_view(provider.heartbeat),
        muted_until=_optional_timestamp(provider.muted_until) if provider.is_muted(now) else None,
        heartbeat_tokens_today=health.heartbeat_tokens if health.heartbeat_tokens_day == utc_day(now) else 0,
        created_at=format_timestamp(provider.created_at),
        updated_at=format_timestamp(provider.updated_at),
    )


def _optional_timestamp(time: datetime | None) -> str | None:
    return None if time is None else format_timestamp(time)


def _is_stale(provider: Provider, now: datetime) -> bool:
    """Whether the last heartbeat is more than 90 s old, also where heartbeats are disabled."""
    return is_stale(provider.health.last_heartbeat_at or provider.created_at, now)


def _heartbeat_view(settings: HeartbeatSettings) -> HeartbeatView:
    return HeartbeatView(enabled=settings.enabled, model=settings.model, max_tokens=settings.max_tokens)
