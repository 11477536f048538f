"""Concurrent updates never overwrite each other, and only one of two changes with the same ETag succeeds."""

from collections.abc import Callable

import pytest

from gateway.core.errors import DefaultProviderNeeded, PreconditionFailed, ProviderNotFound, RegistryBusy
from gateway.registry.etags import IfMatch, etag
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import Provider
from gateway.registry.service import MAX_ATTEMPTS, Registry
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.unit.gateway.builders import KEY, Clock, after, patch, replacement, wanted
from tests.unit.gateway.conftest import PUBLIC
from tests.unit.gateway.registering import beat, conflicting_transactions, interrupted_registry, key_of

type Change = Callable[[Registry, IfMatch | None], object]

CHANGES: dict[str, Change] = {
    "register": lambda registry, seen: registry.register(wanted(name="Mine"), seen),
    "replace": lambda registry, seen: registry.replace("main", replacement(name="Mine"), seen),
    "patch": lambda registry, seen: registry.patch("main", patch(name="Mine"), seen),
    "take over": lambda registry, seen: registry.patch("main", patch(default=True), seen),
    "delete": lambda registry, seen: registry.delete("main", seen),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def seen(provider: Provider) -> IfMatch:
    return IfMatch(frozenset({etag(provider)}))


def test_change_that_loses_a_race_reads_again(aws: Aws, registry: Registry) -> None:
    mine = interrupted_registry(
        aws, lambda: registry.register(wanted(description="overtaken", model="theirs")), times=2
    )
    done = mine.register(wanted(name="Mine"))
    assert (done.created, done.provider.name, done.provider.model) == (False, "Mine", None)


def test_concurrent_patches_of_different_fields_both_apply(aws: Aws, registry: Registry) -> None:
    registry.register(wanted(heartbeat={"max_tokens": 5}))

    def theirs() -> None:
        registry.patch("main", patch(description="theirs", heartbeat={"model": "small"}))

    mine = interrupted_registry(aws, theirs).patch("main", patch(name="Mine", heartbeat={"enabled": False})).provider
    assert (mine.name, mine.description) == ("Mine", "theirs")
    assert (mine.heartbeat.enabled, mine.heartbeat.model, mine.heartbeat.max_tokens) == (False, "small", 5)


def test_reset_after_concurrent_heartbeat_sets_status_changed_at(
    aws: Aws, registry: Registry, providers: ProviderStore
) -> None:
    registry.register(wanted())
    mine = interrupted_registry(aws, lambda: beat(providers))
    changed = mine.patch("main", patch(model="another")).provider
    assert (changed.health.status, changed.health.last_heartbeat_at) == ("pending", after(500))
    assert changed.health.status_changed_at == changed.updated_at


def test_gives_up_after_max_attempts(aws: Aws, registry: Registry) -> None:
    numbers = iter(range(1000))
    mine = interrupted_registry(aws, lambda: registry.register(wanted(description=f"{next(numbers)}")), times=1000)
    with pytest.raises(RegistryBusy):
        mine.register(wanted(name="Mine"))
    assert next(numbers) == MAX_ATTEMPTS
    assert registry.register(wanted(description="last")).provider.name == "main"


def test_pauses_grow_up_to_the_limit(aws: Aws, providers: ProviderStore, cipher: KeyCipher) -> None:
    waited: list[float] = []
    mine = Registry(providers, cipher, clock=Clock(), endpoint_policy=PUBLIC, pause=waited.append)
    with conflicting_transactions(aws, times=3):
        assert mine.register(wanted()).created
    assert len(waited) == 3
    assert all(0 <= pause <= longest for pause, longest in zip(waited, (0.02, 0.04, 0.08), strict=True))
    with conflicting_transactions(aws, times=1000), pytest.raises(RegistryBusy):
        mine.register(wanted(name="Mine"))
    assert max(waited) <= 0.4
    assert sum(waited) < 6


def test_replacement_keeps_concurrent_change_of_default(aws: Aws, registry: Registry, providers: ProviderStore) -> None:
    registry.register(wanted())
    registry.register(wanted(id="second"))
    mine = interrupted_registry(aws, lambda: registry.register(wanted(id="second", default=True)))
    assert not mine.register(wanted(description="new words")).provider.default
    assert providers.default().id == "second"


def test_default_true_wins_over_concurrent_change_of_default(
    aws: Aws, registry: Registry, providers: ProviderStore
) -> None:
    registry.register(wanted())
    registry.register(wanted(id="second"))
    mine = interrupted_registry(aws, lambda: registry.patch("second", patch(default=True)))
    assert mine.patch("main", patch(name="Mine", default=True)).provider.default
    assert [provider.id for provider in providers.all() if provider.default] == ["main"]


def test_rejects_default_false_for_concurrent_default(aws: Aws, registry: Registry) -> None:
    registry.register(wanted(id="first"))
    registry.register(wanted())
    mine = interrupted_registry(aws, lambda: registry.patch("main", patch(default=True)))
    with pytest.raises(DefaultProviderNeeded):
        mine.patch("main", patch(name="Mine", default=False))


@every_change
def test_write_rejects_change_made_after_the_etag_check(
    aws: Aws, registry: Registry, providers: ProviderStore, change: Change
) -> None:
    registry.register(wanted(id="first"))
    expected = seen(registry.register(wanted()).provider)
    with pytest.raises(PreconditionFailed):
        change(interrupted_registry(aws, lambda: registry.patch("main", patch(description="theirs"))), expected)
    main = providers.get("main")
    assert (main.name, main.description, main.default) == ("main", "theirs", False)


@every_change
@pytest.mark.parametrize("was_default", [True, False])
def test_write_rejects_change_of_default_made_after_the_etag_check(
    aws: Aws, registry: Registry, providers: ProviderStore, change: Change, was_default: bool
) -> None:
    first, second = ("main", "other") if was_default else ("other", "main")
    registry.register(wanted(id=first))
    registry.register(wanted(id=second))
    expected = seen(providers.get("main"))
    if change is CHANGES["take over"] and was_default:
        # The provider is the default already, so nothing is written.
        change(registry, expected)
        return
    with pytest.raises(PreconditionFailed):
        change(interrupted_registry(aws, lambda: registry.patch(second, patch(default=True))), expected)
    assert providers.get("main").name == "main"
    assert providers.default().id == second


@every_change
def test_write_does_not_recreate_provider_deleted_after_the_etag_check(
    aws: Aws, registry: Registry, providers: ProviderStore, change: Change
) -> None:
    registry.register(wanted(id="first"))
    expected = seen(registry.register(wanted()).provider)
    with pytest.raises((PreconditionFailed, ProviderNotFound)):
        change(interrupted_registry(aws, lambda: registry.delete("main")), expected)
    assert providers.find("main") is None


def test_etag_does_not_match_recreated_provider(registry: Registry, providers: ProviderStore) -> None:
    expected = seen(registry.register(wanted()).provider)
    registry.delete("main")
    registry.register(wanted())
    with pytest.raises(PreconditionFailed):
        registry.patch("main", patch(name="Mine"), expected)


def test_deletion_that_loses_a_race_reads_again(aws: Aws, registry: Registry, providers: ProviderStore) -> None:
    registry.register(wanted(id="first"))
    registry.register(wanted())
    interrupted_registry(aws, lambda: registry.patch("main", patch(name="Theirs"))).delete("main")
    assert providers.find("main") is None


def test_deletion_of_the_default_succeeds_after_concurrent_takeover(
    aws: Aws, registry: Registry, providers: ProviderStore
) -> None:
    registry.register(wanted())
    registry.register(wanted(id="second"))
    with pytest.raises(DefaultProviderNeeded):
        registry.delete("main")
    interrupted_registry(aws, lambda: registry.patch("second", patch(default=True))).delete("main")
    assert [provider.id for provider in providers.all()] == ["second"]


def test_change_keeps_concurrently_replaced_ciphertext(aws: Aws, registry: Registry, cipher: KeyCipher) -> None:
    """Encrypting the same key again makes no new revision, so the revision does not protect the new ciphertext."""
    registry.register(wanted(api_key=KEY))
    lost = {"Key": {"id": "main"}, "ExpressionAttributeValues": {":c": b"lost"}}
    aws.providers.update_item(**lost, UpdateExpression="SET key_ciphertext = :c")
    mine = interrupted_registry(aws, lambda: registry.patch("main", patch(api_key=KEY)))
    done = mine.patch("main", patch(name="Mine"))
    assert (done.provider.name, key_of(done.provider, cipher)) == ("Mine", KEY)


def test_returns_written_provider_when_it_is_deleted_right_after(aws: Aws, registry: Registry) -> None:
    registry.register(wanted(id="first"))
    registry.register(wanted())
    looks = iter(("before", "after"))

    class Gone(ProviderStore):
        def find(self, provider_id: str) -> Provider | None:
            if next(looks) == "after":
                registry.delete("main")
            return super().find(provider_id)

    mine = Registry(Gone(aws.providers), KeyCipher(aws.kms, aws.key_arn), clock=Clock(), endpoint_policy=PUBLIC)
    assert mine.patch("main", patch(name="Mine")).provider.name == "Mine"
