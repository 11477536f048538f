import inspect
import time
from dataclasses import replace

import pytest

from gateway.core.errors import EndpointRefused, KeyUnreadable, NoProvider, ProviderNotFound
from gateway.heartbeat.health import next_health
from gateway.proxy.targets import TargetResolver
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.service import Registry
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.unit.gateway.builders import ENDPOINT, KEY, OTHER_KEY, Clock, SettableClock, an_outcome, wanted
from tests.unit.gateway.conftest import ANYWHERE, PUBLIC


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def targets(providers: ProviderStore, cipher: KeyCipher, clock: SettableClock) -> TargetResolver:
    return TargetResolver(providers, cipher, PUBLIC.guard_endpoint, clock=clock)


def test_sends_no_key_to_an_endpoint_that_is_no_longer_allowed(
    providers: ProviderStore, cipher: KeyCipher, targets: TargetResolver
) -> None:
    lax = Registry(providers, cipher, clock=Clock(), endpoint_policy=ANYWHERE)
    lax.register(wanted(endpoint="http://tokenhub.example.com/v1", api_key=KEY))

    with pytest.raises(EndpointRefused, match=r"example.com/v1 is not allowed. The endpoint uses plain http"):
        targets.find(None)


def test_resolves_the_default_or_the_named_provider(registry: Registry, targets: TargetResolver) -> None:
    registry.register(wanted(api_key=KEY, model="echo"))
    registry.register(wanted(id="second"))
    default, second = targets.find(None), targets.find("second")
    assert (default.provider_id, default.endpoint, default.key, default.model) == ("main", ENDPOINT, KEY, "echo")
    assert (second.provider_id, second.key, second.model) == ("second", None, None)


def test_repr_of_a_target_hides_the_key(registry: Registry, targets: TargetResolver) -> None:
    registry.register(wanted(api_key=KEY))
    assert KEY not in repr(targets.find(None))


def test_a_warm_request_makes_no_aws_call(registry: Registry, targets: TargetResolver, calls: list[str]) -> None:
    registry.register(wanted(api_key=KEY))
    targets.find(None)
    assert {"GetItem", "Decrypt"} <= set(calls)
    calls.clear()
    assert targets.find(None).key == KEY
    assert calls == []


def test_caches_a_target_for_30_seconds(registry: Registry, targets: TargetResolver, clock: SettableClock) -> None:
    registry.register(wanted(model="old"))
    targets.find(None)
    registry.register(wanted(model="new"))
    clock.now += 30
    assert targets.find(None).model == "old"
    clock.now += 0.1
    assert targets.find(None).model == "new"


def test_measures_age_by_a_clock_that_runs_while_frozen() -> None:
    assert inspect.signature(TargetResolver).parameters["clock"].default is time.time


def test_expires_targets_when_the_clock_is_set_back(
    registry: Registry, targets: TargetResolver, clock: SettableClock
) -> None:
    registry.register(wanted(model="old"))
    targets.find(None)
    registry.register(wanted(model="new"))
    clock.now -= 3600
    assert targets.find(None).model == "new"


def test_decrypts_a_key_once_per_ciphertext(
    registry: Registry, targets: TargetResolver, clock: SettableClock, calls: list[str]
) -> None:
    registry.register(wanted(api_key=KEY))
    for _ in range(3):
        targets.find(None)
        clock.now += 31
    registry.register(wanted(description="new words"))
    assert targets.find_fresh(None).key == KEY
    assert calls.count("Decrypt") == 1


def test_find_fresh_returns_a_rotated_key(registry: Registry, targets: TargetResolver) -> None:
    registry.register(wanted(api_key=KEY))
    assert targets.find(None).key == KEY
    registry.register(wanted(api_key=OTHER_KEY))
    assert targets.find_fresh(None).key == OTHER_KEY
    assert targets.find(None).key == OTHER_KEY


def test_forgets_a_replaced_key(registry: Registry, targets: TargetResolver) -> None:
    registry.register(wanted(api_key=KEY))
    targets.find(None)
    registry.register(wanted(api_key=OTHER_KEY))
    targets.find_fresh(None)
    assert KEY not in repr(vars(targets))


def test_never_caches_a_missing_provider(registry: Registry, targets: TargetResolver) -> None:
    with pytest.raises(NoProvider):
        targets.find(None)
    with pytest.raises(ProviderNotFound):
        targets.find("main")
    registry.register(wanted())
    assert targets.find(None) == targets.find("main")


def test_find_fresh_does_not_find_a_deleted_provider(
    registry: Registry, providers: ProviderStore, targets: TargetResolver
) -> None:
    registry.register(wanted())
    targets.find(None)
    providers.delete("main")
    with pytest.raises(NoProvider):
        targets.find_fresh(None)
    with pytest.raises(NoProvider):
        targets.find(None)


def test_uses_a_new_default_after_30_seconds(registry: Registry, targets: TargetResolver, clock: SettableClock) -> None:
    registry.register(wanted())
    targets.find(None)
    registry.register(wanted(id="second", default=True))
    clock.now += 31
    assert targets.find(None).provider_id == "second"


def test_raises_for_an_undecryptable_key_without_caching(aws: Aws, registry: Registry, targets: TargetResolver) -> None:
    registry.register(wanted(api_key=KEY))
    aws.providers.update_item(
        Key={"id": "main"}, UpdateExpression="SET key_ciphertext = :c", ExpressionAttributeValues={":c": b"lost"}
    )
    with pytest.raises(KeyUnreadable):
        targets.find(None)
    registry.register(wanted(api_key=OTHER_KEY))
    assert targets.find(None).key == OTHER_KEY


def test_cannot_decrypt_a_key_moved_to_another_provider(
    registry: Registry, providers: ProviderStore, targets: TargetResolver
) -> None:
    stolen = registry.register(wanted(api_key=KEY)).provider
    for moved in (replace(stolen, id="thief"), replace(stolen, endpoint="https://thief.example.com/v1")):
        with pytest.raises(KeyUnreadable):
            targets.target_for(moved)
    assert targets.target_for(stolen).key == KEY


def test_never_uses_a_cached_key_for_another_origin(aws: Aws, registry: Registry, targets: TargetResolver) -> None:
    registry.register(wanted(api_key=KEY))
    assert targets.find(None).key == KEY
    aws.providers.update_item(
        Key={"id": "main"},
        UpdateExpression="SET endpoint = :e",
        ExpressionAttributeValues={":e": "https://thief.example.com/v1"},
    )
    with pytest.raises(KeyUnreadable):
        targets.find_fresh(None)


def test_target_carries_the_provider_status(
    registry: Registry, providers: ProviderStore, targets: TargetResolver
) -> None:
    read = registry.register(wanted()).provider
    assert providers.record_beat(read, next_health(read.health, an_outcome(1, error="no")))
    assert targets.find(None).status == "failed"
