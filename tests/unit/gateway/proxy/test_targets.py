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


def test_an_endpoint_that_may_not_be_called_any_more_gets_no_key(
    providers: ProviderStore, cipher: KeyCipher, targets: TargetResolver
) -> None:
    lax = Registry(providers, cipher, clock=Clock(), endpoint_policy=ANYWHERE)
    lax.register(wanted(endpoint="http://tokenhub.example.com/v1", api_key=KEY))

    with pytest.raises(EndpointRefused, match=r"example.com/v1 is not allowed. The endpoint uses plain http"):
        targets.find(None)


def test_a_request_goes_to_the_default_or_to_the_provider_that_it_names(
    registry: Registry, targets: TargetResolver
) -> None:
    registry.register(wanted(api_key=KEY, model="echo"))
    registry.register(wanted(id="second"))
    default, second = targets.find(None), targets.find("second")
    assert (default.provider_id, default.endpoint, default.key, default.model) == ("main", ENDPOINT, KEY, "echo")
    assert (second.provider_id, second.key, second.model) == ("second", None, None)


def test_a_target_does_not_show_its_key(registry: Registry, targets: TargetResolver) -> None:
    registry.register(wanted(api_key=KEY))
    assert KEY not in repr(targets.find(None))


def test_a_warm_request_makes_no_aws_call(registry: Registry, targets: TargetResolver, calls: list[str]) -> None:
    registry.register(wanted(api_key=KEY))
    targets.find(None)
    assert {"GetItem", "Decrypt"} <= set(calls)
    calls.clear()
    assert targets.find(None).key == KEY
    assert calls == []


def test_a_target_is_remembered_for_30_seconds(
    registry: Registry, targets: TargetResolver, clock: SettableClock
) -> None:
    registry.register(wanted(model="old"))
    targets.find(None)
    registry.register(wanted(model="new"))
    clock.now += 30
    assert targets.find(None).model == "old"
    clock.now += 0.1
    assert targets.find(None).model == "new"


def test_the_age_of_a_target_is_told_by_a_clock_that_runs_while_the_environment_is_frozen() -> None:
    assert inspect.signature(TargetResolver).parameters["clock"].default is time.time


def test_a_clock_that_is_set_back_makes_no_target_last_longer(
    registry: Registry, targets: TargetResolver, clock: SettableClock
) -> None:
    registry.register(wanted(model="old"))
    targets.find(None)
    registry.register(wanted(model="new"))
    clock.now -= 3600
    assert targets.find(None).model == "new"


def test_a_key_is_decrypted_once_for_as_long_as_its_ciphertext_stays(
    registry: Registry, targets: TargetResolver, clock: SettableClock, calls: list[str]
) -> None:
    registry.register(wanted(api_key=KEY))
    for _ in range(3):
        targets.find(None)
        clock.now += 31
    registry.register(wanted(description="new words"))
    assert targets.find_fresh(None).key == KEY
    assert calls.count("Decrypt") == 1


def test_a_rotated_key_is_there_when_it_is_looked_for_anew(registry: Registry, targets: TargetResolver) -> None:
    registry.register(wanted(api_key=KEY))
    assert targets.find(None).key == KEY
    registry.register(wanted(api_key=OTHER_KEY))
    assert targets.find_fresh(None).key == OTHER_KEY
    assert targets.find(None).key == OTHER_KEY


def test_a_key_that_was_replaced_is_forgotten(registry: Registry, targets: TargetResolver) -> None:
    registry.register(wanted(api_key=KEY))
    targets.find(None)
    registry.register(wanted(api_key=OTHER_KEY))
    targets.find_fresh(None)
    assert KEY not in repr(vars(targets))


def test_absence_is_never_remembered(registry: Registry, targets: TargetResolver) -> None:
    with pytest.raises(NoProvider):
        targets.find(None)
    with pytest.raises(ProviderNotFound):
        targets.find("main")
    registry.register(wanted())
    assert targets.find(None) == targets.find("main")


def test_a_deleted_provider_is_gone_when_it_is_looked_for_anew(
    registry: Registry, providers: ProviderStore, targets: TargetResolver
) -> None:
    registry.register(wanted())
    targets.find(None)
    providers.delete("main")
    with pytest.raises(NoProvider):
        targets.find_fresh(None)
    with pytest.raises(NoProvider):
        targets.find(None)


def test_a_new_default_is_taken_after_30_seconds(
    registry: Registry, targets: TargetResolver, clock: SettableClock
) -> None:
    registry.register(wanted())
    targets.find(None)
    registry.register(wanted(id="second", default=True))
    clock.now += 31
    assert targets.find(None).provider_id == "second"


def test_a_key_that_cannot_be_decrypted_is_told_and_not_remembered(
    aws: Aws, registry: Registry, targets: TargetResolver
) -> None:
    registry.register(wanted(api_key=KEY))
    aws.providers.update_item(
        Key={"id": "main"}, UpdateExpression="SET key_ciphertext = :c", ExpressionAttributeValues={":c": b"lost"}
    )
    with pytest.raises(KeyUnreadable):
        targets.find(None)
    registry.register(wanted(api_key=OTHER_KEY))
    assert targets.find(None).key == OTHER_KEY


def test_a_key_moved_by_hand_to_another_provider_does_not_decrypt(
    registry: Registry, providers: ProviderStore, targets: TargetResolver
) -> None:
    stolen = registry.register(wanted(api_key=KEY)).provider
    for moved in (replace(stolen, id="thief"), replace(stolen, endpoint="https://thief.example.com/v1")):
        with pytest.raises(KeyUnreadable):
            targets.target_for(moved)
    assert targets.target_for(stolen).key == KEY


def test_a_key_that_is_remembered_goes_to_no_other_origin_than_it_was_stored_for(
    aws: Aws, registry: Registry, targets: TargetResolver
) -> None:
    registry.register(wanted(api_key=KEY))
    assert targets.find(None).key == KEY
    aws.providers.update_item(
        Key={"id": "main"},
        UpdateExpression="SET endpoint = :e",
        ExpressionAttributeValues={":e": "https://thief.example.com/v1"},
    )
    with pytest.raises(KeyUnreadable):
        targets.find_fresh(None)


def test_a_target_carries_the_status_so_that_an_answer_can_tell(
    registry: Registry, providers: ProviderStore, targets: TargetResolver
) -> None:
    read = registry.register(wanted()).provider
    assert providers.record_beat(read, next_health(read.health, an_outcome(1, error="no")))
    assert targets.find(None).status == "failed"
