import json
from dataclasses import replace
from datetime import timedelta

from gateway.registry.overview import ATTRIBUTES, OverviewReader
from gateway.registry.provider import Health, HeartbeatSettings
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.unit.gateway.builders import AT, a_provider

HEALTH = Health(
    status="failed",
    last_heartbeat_at=AT,
    last_heartbeat_latency_ms=5,
    last_heartbeat_error="HTTP 401.",
    last_heartbeat_warning="Another model answered.",
    consecutive_failures=2,
    status_changed_at=AT,
    heartbeat_tokens=7,
    failure_planned=True,
)


def test_reads_all_providers_and_the_default(aws: Aws) -> None:
    store = ProviderStore(aws.providers)
    store.create(a_provider(id="one", name="One", health=HEALTH, muted_until=AT))
    store.create(a_provider(id="two", heartbeat=HeartbeatSettings(enabled=False)))

    one, two = sorted(OverviewReader(aws.providers).all(), key=lambda provider: provider.id)

    assert (one.id, one.name, one.default, one.heartbeats) == ("one", "One", True, True)
    assert one.health == replace(HEALTH, heartbeat_tokens=0)
    assert (one.created_at, one.muted_until, two.muted_until) == (AT, AT, None)
    assert (one.is_muted(AT - timedelta(seconds=1)), one.is_muted(AT), two.is_muted(AT)) == (True, False, False)
    assert (two.default, two.heartbeats, two.health.status) == (False, False, "pending")


def test_is_empty_without_providers(aws: Aws) -> None:
    assert OverviewReader(aws.providers).all() == []


def test_requests_no_attribute_with_a_key_or_an_endpoint(aws: Aws) -> None:
    """The role allows a Scan of these attributes only, and requires `Select`."""
    requests = []
    aws.providers.meta.client.meta.events.register(
        "before-call.dynamodb.Scan", lambda params, **_: requests.append(params)
    )
    OverviewReader(aws.providers).all()

    [body] = [json.loads(request["body"]) for request in requests]
    assert "ProjectionExpression" in body
    assert body["Select"] == "SPECIFIC_ATTRIBUTES"
    assert not {"key_ciphertext", "key_fingerprint", "endpoint", "description"} & set(ATTRIBUTES)


def test_a_new_provider_is_not_stale(aws: Aws) -> None:
    ProviderStore(aws.providers).create(a_provider())
    [provider] = OverviewReader(aws.providers).all()

    assert not provider.is_stale(AT + timedelta(seconds=90))
    assert provider.is_stale(AT + timedelta(seconds=91))
