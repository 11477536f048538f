"""Everyone may change a provider at any time: nothing is lost, and of two that expect the same one is refused."""

from collections.abc import Callable

import pytest

from gateway.core.errors import DefaultProviderNeeded, PreconditionFailed, ProviderNotFound, RegistryBusy
from gateway.registry.etags import IfMatch, etag
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import Provider
from gateway.registry.service import ATTEMPTS, Registry
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.unit.gateway.builders import KEY, Clock, after, patch, replacement, wanted
from tests.unit.gateway.conftest import PUBLIC
from tests.unit.gateway.registering import beat, key_of, meeting_transactions, overtaken

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


def test_a_change_that_another_overtook_looks_again(aws: Aws, registry: Registry) -> None:
    mine = overtaken(aws, lambda: registry.register(wanted(description="overtaken", model="theirs")), times=2)
    done = mine.register(wanted(name="Mine"))
    assert (done.created, done.provider.name, done.provider.model) == (False, "Mine", None)


def test_two_patches_of_different_fields_both_arrive(aws: Aws, registry: Registry) -> None:
    registry.register(wanted(heartbeat={"max_tokens": 5}))

    def theirs() -> None:
        registry.patch("main", patch(description="theirs", heartbeat={"model": "small"}))

    mine = overtaken(aws, theirs).patch("main", patch(name="Mine", heartbeat={"enabled": False})).provider
    assert (mine.name, mine.description) == ("Mine", "theirs")
    assert (mine.heartbeat.enabled, mine.heartbeat.model, mine.heartbeat.max_tokens) == (False, "small", 5)


def test_a_status_that_a_beat_changed_meanwhile_goes_back_to_pending_now_and_not_then(
    aws: Aws, registry: Registry, providers: ProviderStore
) -> None:
    registry.register(wanted())
    mine = overtaken(aws, lambda: beat(providers))
    changed = mine.patch("main", patch(model="another")).provider
    assert (changed.health.status, changed.health.last_heartbeat_at) == ("pending", after(500))
    assert changed.health.status_changed_at == changed.updated_at


def test_a_change_that_is_always_overtaken_gives_up(aws: Aws, registry: Registry) -> None:
    numbers = iter(range(1000))
    mine = overtaken(aws, lambda: registry.register(wanted(description=f"{next(numbers)}")), times=1000)
    with pytest.raises(RegistryBusy):
        mine.register(wanted(name="Mine"))
    assert next(numbers) == ATTEMPTS
    assert registry.register(wanted(description="last")).provider.name == "main"


def test_it_waits_longer_from_time_to_time_and_never_long(
    aws: Aws, providers: ProviderStore, cipher: KeyCipher
) -> None:
    waited: list[float] = []
    mine = Registry(providers, cipher, clock=Clock(), endpoint_policy=PUBLIC, pause=waited.append)
    with meeting_transactions(aws, times=3):
        assert mine.register(wanted()).created
    assert len(waited) == 3
    assert all(0 <= pause <= longest for pause, longest in zip(waited, (0.02, 0.04, 0.08), strict=True))
    with meeting_transactions(aws, times=1000), pytest.raises(RegistryBusy):
        mine.register(wanted(name="Mine"))
    assert max(waited) <= 0.4
    assert sum(waited) < 6


def test_a_replacement_does_not_undo_a_change_of_default_that_came_between(
    aws: Aws, registry: Registry, providers: ProviderStore
) -> None:
    registry.register(wanted())
    registry.register(wanted(id="second"))
    mine = overtaken(aws, lambda: registry.register(wanted(id="second", default=True)))
    assert not mine.register(wanted(description="new words")).provider.default
    assert providers.default().id == "second"


def test_a_default_that_is_asked_for_is_had_though_another_took_it_meanwhile(
    aws: Aws, registry: Registry, providers: ProviderStore
) -> None:
    registry.register(wanted())
    registry.register(wanted(id="second"))
    mine = overtaken(aws, lambda: registry.patch("second", patch(default=True)))
    assert mine.patch("main", patch(name="Mine", default=True)).provider.default
    assert [provider.id for provider in providers.all() if provider.default] == ["main"]


def test_one_that_becomes_the_default_meanwhile_cannot_say_that_it_is_not(aws: Aws, registry: Registry) -> None:
    registry.register(wanted(id="first"))
    registry.register(wanted())
    mine = overtaken(aws, lambda: registry.patch("main", patch(default=True)))
    with pytest.raises(DefaultProviderNeeded):
        mine.patch("main", patch(name="Mine", default=False))


@every_change
def test_what_was_changed_after_the_check_is_refused_at_the_write(
    aws: Aws, registry: Registry, providers: ProviderStore, change: Change
) -> None:
    registry.register(wanted(id="first"))
    expected = seen(registry.register(wanted()).provider)
    with pytest.raises(PreconditionFailed):
        change(overtaken(aws, lambda: registry.patch("main", patch(description="theirs"))), expected)
    main = providers.get("main")
    assert (main.name, main.description, main.default) == ("main", "theirs", False)


@every_change
@pytest.mark.parametrize("was_default", [True, False])
def test_a_change_of_default_after_the_check_is_refused_at_the_write(
    aws: Aws, registry: Registry, providers: ProviderStore, change: Change, was_default: bool
) -> None:
    first, second = ("main", "other") if was_default else ("other", "main")
    registry.register(wanted(id=first))
    registry.register(wanted(id=second))
    expected = seen(providers.get("main"))
    if change is CHANGES["take over"] and was_default:
        change(registry, expected)  # it is the default already: nothing is written that could be refused
        return
    with pytest.raises(PreconditionFailed):
        change(overtaken(aws, lambda: registry.patch(second, patch(default=True))), expected)
    assert providers.get("main").name == "main"
    assert providers.default().id == second


@every_change
def test_what_was_deleted_after_the_check_is_not_brought_back(
    aws: Aws, registry: Registry, providers: ProviderStore, change: Change
) -> None:
    registry.register(wanted(id="first"))
    expected = seen(registry.register(wanted()).provider)
    with pytest.raises((PreconditionFailed, ProviderNotFound)):
        change(overtaken(aws, lambda: registry.delete("main")), expected)
    assert providers.find("main") is None


def test_one_that_was_deleted_and_registered_again_is_not_what_was_seen(
    registry: Registry, providers: ProviderStore
) -> None:
    expected = seen(registry.register(wanted()).provider)
    registry.delete("main")
    registry.register(wanted())
    with pytest.raises(PreconditionFailed):
        registry.patch("main", patch(name="Mine"), expected)


def test_a_deletion_that_was_overtaken_looks_again(aws: Aws, registry: Registry, providers: ProviderStore) -> None:
    registry.register(wanted(id="first"))
    registry.register(wanted())
    overtaken(aws, lambda: registry.patch("main", patch(name="Theirs"))).delete("main")
    assert providers.find("main") is None


def test_a_deletion_of_the_default_waits_for_another_to_take_over_and_for_nothing_else(
    aws: Aws, registry: Registry, providers: ProviderStore
) -> None:
    registry.register(wanted())
    registry.register(wanted(id="second"))
    with pytest.raises(DefaultProviderNeeded):
        registry.delete("main")
    overtaken(aws, lambda: registry.patch("second", patch(default=True))).delete("main")
    assert [provider.id for provider in providers.all()] == ["second"]


def test_a_key_that_was_mended_meanwhile_stays_mended(aws: Aws, registry: Registry, cipher: KeyCipher) -> None:
    """The same key again makes no new revision, so that the revision alone does not protect what it wrote."""
    registry.register(wanted(api_key=KEY))
    lost = {"Key": {"id": "main"}, "ExpressionAttributeValues": {":c": b"lost"}}
    aws.providers.update_item(**lost, UpdateExpression="SET key_ciphertext = :c")
    mine = overtaken(aws, lambda: registry.patch("main", patch(api_key=KEY)))
    done = mine.patch("main", patch(name="Mine"))
    assert (done.provider.name, key_of(done.provider, cipher)) == ("Mine", KEY)


def test_a_change_of_what_is_gone_right_after_is_answered_as_it_was_made(aws: Aws, registry: Registry) -> None:
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
