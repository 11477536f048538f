from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.registry.items import health_item, provider_from_item, registry_item, update_expression
from gateway.registry.provider import Health, HeartbeatSettings, Provider, utc_day
from tests.conftest import Aws
from tests.unit.gateway.builders import AT, a_provider

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
HEALTH = st.builds(
    Health,
    status=st.sampled_from(["pending", "healthy", "failed"]),
    last_heartbeat_at=st.none() | TIMES,
    last_heartbeat_latency_ms=st.none() | st.integers(0, 10**6),
    last_heartbeat_ttft_ms=st.none() | st.integers(0, 10**6),
    last_heartbeat_error=st.none() | TEXT,
    last_heartbeat_model=st.none() | TEXT,
    last_heartbeat_slot=st.none() | TEXT,
    consecutive_failures=st.integers(0, 10**6),
    status_changed_at=st.none() | TIMES,
    beats_since_stream=st.integers(0, 19),
    heartbeat_tokens=st.integers(0, 10**7),
    heartbeat_tokens_day=st.none() | TIMES.map(utc_day),
    failure_cause=st.none() | TEXT,
    failure_cause_since=st.none() | TIMES,
    max_tokens_refused_version=st.none() | TEXT,
    last_heartbeat_warning=st.none() | TEXT,
    failure_planned=st.booleans(),
    last_heartbeat_muted=st.booleans(),
)
PROVIDERS = st.builds(
    Provider,
    id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    name=TEXT,
    type=TEXT,
    endpoint=TEXT,
    description=TEXT,
    version=TEXT,
    revision=TEXT,
    created_at=TIMES,
    updated_at=TIMES,
    model=st.none() | TEXT,
    key_ciphertext=st.none() | st.binary(min_size=1, max_size=200),
    key_fingerprint=st.none() | TEXT,
    heartbeat=st.builds(HeartbeatSettings, st.booleans(), st.none() | TEXT, st.none() | st.integers(1, 4096)),
    health=HEALTH,
    default=st.booleans(),
)


def stored(provider: Provider) -> dict[str, Any]:
    item = registry_item(provider) | health_item(provider.health)
    return {name: value for name, value in item.items() if value is not None}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PROVIDERS)
def test_provider_round_trips_through_the_table(aws: Aws, provider: Provider) -> None:
    aws.providers.put_item(Item=stored(provider))
    item = aws.providers.get_item(Key={"id": provider.id})["Item"]
    assert provider_from_item(item, provider.id if provider.default else "another") == provider


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HEALTH, HEALTH)
def test_update_replaces_every_health_attribute(aws: Aws, before: Health, after: Health) -> None:
    provider = a_provider(health=before)
    aws.providers.put_item(Item=stored(provider))
    expression, names, values = update_expression(health_item(after))
    aws.providers.update_item(
        Key={"id": provider.id},
        UpdateExpression=expression,
        ExpressionAttributeNames=names,
        ExpressionAttributeValues=values,
    )
    item = aws.providers.get_item(Key={"id": provider.id})["Item"]
    assert provider_from_item(item, None) == a_provider(health=after)


def test_registry_item_has_no_health_and_no_default() -> None:
    item = registry_item(a_provider(default=True, health=Health(status="failed")))
    assert not {"default", "health", "status", "consecutive_failures"} & item.keys()


def test_update_expression_removes_only_none() -> None:
    expression, names, values = update_expression({"a": 0, "b": None, "c": "", "d": None})
    assert expression == "SET #a = :a, #c = :c REMOVE #b, #d"
    assert names == {"#a": "a", "#b": "b", "#c": "c", "#d": "d"}
    assert values == {":a": 0, ":c": ""}


def test_default_id_determines_the_default() -> None:
    item = stored(a_provider())
    assert [provider_from_item(item, named).default for named in ("main", "other", None)] == [True, False, False]


@pytest.mark.parametrize("added", [{"slow_after_ms": 7}, {"expires_at": 1, "tags": {"a"}}])
def test_ignores_unknown_attributes(added: dict[str, Any]) -> None:
    assert provider_from_item(stored(a_provider()) | added, None) == a_provider()


def test_stores_times_as_sortable_text() -> None:
    assert registry_item(a_provider())["created_at"] == "2026-01-02T03:04:05.678901Z"
    assert health_item(Health(last_heartbeat_at=AT))["last_heartbeat_at"] == "2026-01-02T03:04:05.678901Z"
