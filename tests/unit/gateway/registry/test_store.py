from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.core.errors import (
    DefaultProviderNeeded,
    NoProvider,
    ProviderNotFound,
    RegistryBusy,
    TooManyProviders,
)
from gateway.heartbeat.health import next_health
from gateway.registry.provider import Health, HeartbeatSettings
from gateway.registry.reader import REGISTRY
from gateway.registry.store import MAX_PROVIDERS, ProviderStore
from tests.conftest import Aws
from tests.unit.gateway.builders import a_provider, after, an_outcome
from tests.unit.gateway.registering import conflicting_transactions


def add(providers: ProviderStore, *ids: str) -> None:
    for number, id_ in enumerate(ids):
        providers.create(a_provider(id=id_, created_at=after(number)))


def registry_item(aws: Aws) -> dict[str, Any]:
    return dict(aws.providers.get_item(Key={"id": REGISTRY})["Item"])


def test_empty_registry_has_no_providers_and_no_default(providers: ProviderStore) -> None:
    assert providers.all() == []
    assert providers.find("main") is None
    assert providers.default_id() is None
    with pytest.raises(NoProvider):
        providers.default()
    with pytest.raises(ProviderNotFound):
        providers.get("main")


def test_first_provider_becomes_the_default(providers: ProviderStore) -> None:
    add(providers, "first", "second")
    assert (providers.get("first").default, providers.get("second").default) == (True, False)
    assert providers.default() == providers.get("first")


def test_new_provider_with_default_true_becomes_the_default(providers: ProviderStore) -> None:
    add(providers, "first")
    providers.create(a_provider(id="second", default=True))
    assert [provider.id for provider in providers.all() if provider.default] == ["second"]


def test_lists_providers_newest_first(providers: ProviderStore) -> None:
    add(providers, "old", "middle", "new")
    assert [provider.id for provider in providers.all()] == ["new", "middle", "old"]


def test_lists_all_pages(aws: Aws, providers: ProviderStore, calls: list[str]) -> None:
    ids = [f"p{number}" for number in range(12)]
    add(providers, *ids)
    events, scan = aws.providers.meta.client.meta.events, "provide-client-params.dynamodb.Scan"
    events.register(scan, lambda params, **_: params | {"Limit": 5}, unique_id="small pages")
    found = providers.all()
    events.unregister(scan, unique_id="small pages")
    assert calls.count("Scan") == 3
    assert {provider.id for provider in found} == set(ids)
    assert sum(provider.default for provider in found) == 1


def test_all_reads_are_consistent(aws: Aws, providers: ProviderStore) -> None:
    add(providers, "main")
    events, read = aws.providers.meta.client.meta.events, "provide-client-params.dynamodb"
    seen: list[bool] = []
    for call in ("Scan", "GetItem"):
        events.register(f"{read}.{call}", lambda params, **_: seen.append(params.get("ConsistentRead")), unique_id=call)
    for reading in (providers.all, providers.default, lambda: providers.get("main")):
        reading()
    for call in ("Scan", "GetItem"):
        events.unregister(f"{read}.{call}", unique_id=call)
    assert len(seen) >= 4
    assert set(seen) == {True}


def test_reads_back_stored_provider(providers: ProviderStore) -> None:
    provider = a_provider(
        model="echo", key_ciphertext=b"\x00\xff", key_fingerprint="0123", heartbeat=HeartbeatSettings(False, "small", 9)
    )
    providers.create(provider)
    assert providers.get("main") == replace(provider, default=True)


def test_rejects_second_create_of_an_id(aws: Aws, providers: ProviderStore) -> None:
    add(providers, "main")
    with pytest.raises(RegistryBusy):
        providers.create(a_provider(name="usurper"))
    assert providers.get("main").name == "main"
    assert registry_item(aws)["providers"] == 1


@pytest.mark.parametrize("id_", [REGISTRY, "", "a/b", "é", "x" * 65, "x" * 3000])
def test_invalid_ids_are_not_found(providers: ProviderStore, id_: str) -> None:
    add(providers, "main")
    assert providers.find(id_) is None
    with pytest.raises(ProviderNotFound):
        providers.get(id_)
    with pytest.raises(ProviderNotFound):
        providers.delete(id_)
    assert providers.default().id == "main"


def test_rejects_more_than_1000_providers(aws: Aws, providers: ProviderStore) -> None:
    add(providers, "first")
    aws.providers.update_item(
        Key={"id": REGISTRY},
        UpdateExpression="SET providers = :n",
        ExpressionAttributeValues={":n": MAX_PROVIDERS - 1},
    )
    add(providers, "last")
    with pytest.raises(TooManyProviders, match="1000"):
        add(providers, "late")
    assert providers.find("late") is None
    with pytest.raises(RegistryBusy):
        # The id exists already, so the caller can retry as a replacement.
        add(providers, "last")
    providers.delete("last")
    add(providers, "late")
    assert registry_item(aws)["providers"] == 1000


def test_deletes_provider_that_is_not_the_default(aws: Aws, providers: ProviderStore) -> None:
    add(providers, "first", "second")
    providers.delete("second")
    assert [provider.id for provider in providers.all()] == ["first"]
    assert registry_item(aws)["providers"] == 1


def test_rejects_deletion_of_the_default_while_others_exist(providers: ProviderStore) -> None:
    add(providers, "first", "second")
    with pytest.raises(DefaultProviderNeeded):
        providers.delete("first")
    assert providers.default().id == "first"


def test_deletes_last_provider_and_next_one_becomes_the_default(aws: Aws, providers: ProviderStore) -> None:
    add(providers, "first")
    providers.delete("first")
    assert (providers.all(), providers.default_id()) == ([], None)
    assert registry_item(aws)["providers"] == 0
    add(providers, "second")
    assert providers.default().id == "second"


def test_deleting_missing_provider_raises_not_found(providers: ProviderStore) -> None:
    with pytest.raises(ProviderNotFound):
        providers.delete("main")


def test_update_of_outdated_revision_writes_nothing(providers: ProviderStore) -> None:
    add(providers, "main")
    read = providers.get("main")
    providers.update(read, replace(read, name="first", revision="r2"), reset_health=False)
    with pytest.raises(RegistryBusy):
        providers.update(read, replace(read, name="second", revision="r3"), reset_health=True)
    assert (providers.get("main").name, providers.get("main").revision) == ("first", "r2")


def test_update_does_not_recreate_deleted_provider(providers: ProviderStore) -> None:
    add(providers, "main", "other")
    read = providers.get("other")
    providers.delete("other")
    with pytest.raises(RegistryBusy):
        providers.update(read, replace(read, default=True), reset_health=False)
    assert [provider.id for provider in providers.all()] == ["main"]
    assert providers.default().id == "main"


HEALTHY = Health(
    "failed", after(1), 5, 6, "no", "echo", "slot", 2, after(1), failure_cause="no", failure_cause_since=after(1)
)


def test_update_keeps_health(providers: ProviderStore) -> None:
    providers.create(a_provider(health=HEALTHY))
    read = providers.get("main")
    providers.update(read, replace(read, name="other", health=Health()), reset_health=False)
    assert providers.get("main").health == HEALTHY


def test_reset_sets_pending_without_error_at_update_time(providers: ProviderStore) -> None:
    providers.create(a_provider(health=HEALTHY))
    read = providers.get("main")
    providers.update(read, replace(read, updated_at=after(7)), reset_health=True)
    changed = replace(HEALTHY, status="pending", last_heartbeat_error=None, status_changed_at=after(7))
    unknown = replace(changed, last_heartbeat_model=None, last_heartbeat_ttft_ms=None, consecutive_failures=0)
    assert providers.get("main").health == replace(unknown, failure_cause=None, failure_cause_since=None)


def test_update_does_not_take_the_default_back(providers: ProviderStore) -> None:
    add(providers, "first", "second")
    first, second = providers.get("first"), providers.get("second")
    providers.update(second, replace(second, default=True, revision="r2"), reset_health=False)
    providers.update(first, replace(first, description="new words", revision="r2"), reset_health=False)
    assert providers.default().id == "second"


def test_records_beat_of_unchanged_provider(providers: ProviderStore) -> None:
    add(providers, "main")
    health = next_health(Health(), an_outcome(1, model="echo", slot="s"))
    assert providers.record_beat(providers.get("main"), health)
    assert providers.get("main").health == health


def test_rejects_beat_of_another_version(providers: ProviderStore) -> None:
    add(providers, "main")
    read = providers.get("main")
    providers.update(read, replace(read, version="v2", revision="r2"), reset_health=True)
    assert not providers.record_beat(read, next_health(read.health, an_outcome(1)))
    assert providers.get("main").health == Health()


def test_rejects_beat_that_missed_the_last_one(providers: ProviderStore) -> None:
    add(providers, "main")
    read = providers.get("main")
    newest = next_health(read.health, an_outcome(2))
    assert providers.record_beat(read, newest)
    assert not providers.record_beat(read, next_health(read.health, an_outcome(1, error="late")))
    assert providers.get("main").health == newest


def test_records_consecutive_beats(providers: ProviderStore) -> None:
    add(providers, "main")
    for seconds in (1, 2, 3):
        read = providers.get("main")
        assert providers.record_beat(read, next_health(read.health, an_outcome(seconds, error="no")))
    assert providers.get("main").health.consecutive_failures == 3


def test_beat_does_not_recreate_deleted_provider(providers: ProviderStore) -> None:
    add(providers, "main")
    read = providers.get("main")
    providers.delete("main")
    assert not providers.record_beat(read, next_health(read.health, an_outcome(1)))
    assert providers.find("main") is None


def test_successful_beat_removes_error(aws: Aws, providers: ProviderStore) -> None:
    providers.create(a_provider(health=Health("failed", after(1), last_heartbeat_error="no")))
    read = providers.get("main")
    assert providers.record_beat(read, next_health(read.health, an_outcome(2)))
    assert "last_heartbeat_error" not in aws.providers.get_item(Key={"id": "main"})["Item"]


def test_records_beat_after_change_of_name(providers: ProviderStore) -> None:
    add(providers, "main")
    read = providers.get("main")
    providers.update(read, replace(read, name="other", revision="r2"), reset_health=False)
    assert providers.record_beat(read, next_health(read.health, an_outcome(1)))
    assert (providers.get("main").name, providers.get("main").health.status) == ("other", "healthy")


def test_transaction_conflict_raises_registry_busy(aws: Aws, providers: ProviderStore) -> None:
    with conflicting_transactions(aws, times=1):
        with pytest.raises(RegistryBusy):
            add(providers, "main")
        assert providers.find("main") is None
        add(providers, "main")
    assert providers.default().id == "main"


def test_record_beat_returns_false_on_transaction_conflict(aws: Aws) -> None:
    class Busy:
        """A table with a transaction in progress."""

        meta, name = aws.providers.meta, aws.providers.name

        def update_item(self, **_: object) -> None:
            raise self.meta.client.exceptions.TransactionConflictException(
                {"Error": {"Code": "TransactionConflictException"}}, "UpdateItem"
            )

    provider = a_provider()

    assert not ProviderStore(cast("Any", Busy())).record_beat(provider, next_health(provider.health, an_outcome(1)))
