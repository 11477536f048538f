from typing import Any

import pytest
from pydantic import ValidationError

from gateway.registry.provider import Health, HeartbeatSettings
from gateway.registry.schemas import HeartbeatIn, ProviderIn, ReplacementIn, provider_view
from tests.unit.gateway.builders import AT, KEY, a_provider, after, replacement, wanted


def validation_errors(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        wanted(**fields)
    return [(".".join(map(str, error["loc"])), error["type"]) for error in caught.value.errors()]


def test_registration_requires_only_id_and_endpoint() -> None:
    plain = ProviderIn.model_validate_json('{"id": "main", "endpoint": "https://a.example"}')
    assert (plain.name, plain.type, plain.model, plain.description) == (None, "openai", None, "")
    assert (plain.api_key, plain.default, plain.heartbeat) == (None, None, None)


@pytest.mark.parametrize("field", ["id", "endpoint"])
def test_rejects_registration_without_id_or_endpoint(field: str) -> None:
    body = {"id": "main", "endpoint": "https://a.example"}
    del body[field]
    with pytest.raises(ValidationError) as caught:
        ProviderIn.model_validate(body)
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [((field,), "missing")]


@pytest.mark.parametrize("id_", ["a", "A.b_c-9", "0", "x" * 64])
def test_accepts_valid_ids(id_: str) -> None:
    assert wanted(id=id_).id == id_


@pytest.mark.parametrize("id_", ["", ".a", "-a", "_a", "a/b", "a b", "a\n", "#registry", "ü", "x" * 65, 7, None])
def test_rejects_invalid_ids(id_: object) -> None:
    assert [field for field, _ in validation_errors(id=id_)] == ["id"]


def test_rejects_unknown_fields_by_name() -> None:
    assert validation_errors(apikey="x") == [("apikey", "extra_forbidden")]
    assert validation_errors(heartbeat={"interval": 5}) == [("heartbeat.interval", "extra_forbidden")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("default", "true"),
        ("default", 1),
        ("type", "mock"),
        ("name", ""),
        ("name", "two\nlines"),
        ("name", "x" * 257),
        ("model", ""),
        ("model", "x" * 257),
        ("model", "a\x00b"),
        ("description", "x" * 1025),
        ("endpoint", 7),
        ("heartbeat.max_tokens", 0),
        ("heartbeat.max_tokens", 4097),
        ("heartbeat.max_tokens", 1.5),
        ("heartbeat.max_tokens", "16"),
        ("heartbeat.enabled", "no"),
        ("heartbeat.model", ""),
    ],
)
def test_rejects_values_of_wrong_type_or_size(field: str, value: object) -> None:
    outer, _, inner = field.partition(".")
    assert [location for location, _ in validation_errors(**{outer: {inner: value} if inner else value})] == [field]


@pytest.mark.parametrize("key", ["with space", "line\nbreak", "ümlaut", "x" * 2049, "\x7f", 7])
def test_rejects_api_keys_invalid_in_headers(key: object) -> None:
    assert [field for field, _ in validation_errors(api_key=key)] == ["api_key"]


@pytest.mark.parametrize(
    "fields",
    [
        *({"type": type_} for type_ in ("openai", "anthropic", "vllm", "ollama", "local", "custom")),
        {"name": "Größe 東京"},
        {"name": "x"},
        {"name": "x" * 256},
        {"model": "m"},
        {"model": "x" * 256},
        {"description": ""},
        {"description": "two\nlines " + "x" * 1014},
        {"api_key": "!" + KEY + "~"},
        {"api_key": "x" * 2048},
        {"default": False},
        {"heartbeat": {"enabled": False, "model": "m", "max_tokens": 1}},
        {"heartbeat": {"model": None, "max_tokens": 4096}},
    ],
)
def test_accepts_values_at_the_limits(fields: dict[str, Any]) -> None:
    accepted = wanted(**fields).model_dump(exclude_unset=True)
    assert {name: accepted[name] for name in fields} == fields


def test_accepts_empty_api_key() -> None:
    assert wanted(api_key="").api_key == ""


def test_validation_error_does_not_contain_the_input() -> None:
    with pytest.raises(ValidationError) as caught:
        wanted(api_key=KEY + "\n")
    assert KEY not in str(caught.value)


def test_repr_does_not_contain_the_key() -> None:
    assert KEY not in repr(wanted(api_key=KEY))


def test_replacement_has_registration_fields_with_optional_id() -> None:
    assert replacement(model="echo").model_dump() == wanted(model="echo").model_dump() | {"id": None}
    with pytest.raises(ValidationError):
        ReplacementIn.model_validate({"id": "main"})


def test_heartbeats_are_enabled_with_16_tokens_by_default() -> None:
    assert HeartbeatIn() == HeartbeatIn(enabled=True, model=None, max_tokens=16)


def test_view_has_exactly_the_documented_fields_and_no_key() -> None:
    provider = a_provider(key_ciphertext=b"ciphertext", key_fingerprint="0123456789ab")
    view = provider_view(provider, AT).model_dump()
    assert " ".join(view) == (
        "id name type endpoint model description default requires_key key_fingerprint status last_heartbeat_at "
        "last_heartbeat_latency_ms last_heartbeat_ttft_ms last_heartbeat_error last_heartbeat_warning "
        "last_heartbeat_model consecutive_failures status_changed_at stale heartbeat muted_until "
        "heartbeat_tokens_today created_at updated_at"
    )
    assert "ciphertext" not in repr(view)
    assert (view["requires_key"], view["key_fingerprint"]) == (True, "0123456789ab")


def test_view_without_heartbeat_has_nulls() -> None:
    view = provider_view(a_provider(), AT)
    assert (view.last_heartbeat_at, view.last_heartbeat_latency_ms, view.status_changed_at) == (None, None, None)
    assert (view.status, view.requires_key, view.stale) == ("pending", False, False)


def test_view_shows_heartbeat_result() -> None:
    health = Health("failed", after(1), 20, 5, "no", "echo", "slot", 3, after(0.5))
    view = provider_view(a_provider(health=health, heartbeat=HeartbeatSettings(False, "small", 9), default=True), AT)
    assert (view.status, view.last_heartbeat_error, view.last_heartbeat_model) == ("failed", "no", "echo")
    assert (view.last_heartbeat_latency_ms, view.last_heartbeat_ttft_ms, view.consecutive_failures) == (20, 5, 3)
    assert view.last_heartbeat_at == "2026-01-02T03:04:06.678901Z"
    assert view.status_changed_at == "2026-01-02T03:04:06.178901Z"
    assert view.heartbeat.model_dump() == {"enabled": False, "model": "small", "max_tokens": 9}
    assert view.default


@pytest.mark.parametrize(("age", "stale"), [(0, False), (90, False), (91, True)])
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("checked", [True, False])
def test_no_heartbeat_for_over_90_seconds_is_stale(age: int, stale: bool, enabled: bool, checked: bool) -> None:
    health = Health(last_heartbeat_at=after(1000)) if checked else Health()
    provider = a_provider(health=health, heartbeat=HeartbeatSettings(enabled))
    assert provider_view(provider, after(age + 1000 * checked)).stale is stale


def test_heartbeat_in_the_future_is_stale() -> None:
    """The clock was set back, so the current state is unknown."""
    assert provider_view(a_provider(health=Health(last_heartbeat_at=after(1000))), after(0)).stale


def test_counts_heartbeat_tokens_of_the_current_utc_day() -> None:
    provider = a_provider(health=Health(heartbeat_tokens=523, heartbeat_tokens_day="2026-01-02"))
    assert provider_view(provider, AT).heartbeat_tokens_today == 523
    assert provider_view(provider, after(21 * 3600)).heartbeat_tokens_today == 0
    assert provider_view(a_provider(), AT).heartbeat_tokens_today == 0
