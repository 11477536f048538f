from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

from gateway.heartbeat.health import Outcome, next_health
from gateway.heartbeat.ticker import Ticker, WriteConflict
from gateway.registry.provider import Health, Provider
from gateway.registry.store import ProviderStore
from tests.unit.gateway.builders import after, an_outcome
from tests.unit.gateway.ticking import SLOT, Scripted, System, now


def meeting(system: System, outcome: Outcome, meanwhile: Callable[[Provider], object]) -> Provider | None:
    system.add("main")
    return system.ticker(Scripted(outcome, meanwhile)).beat_one(system.providers.get("main")).provider


def test_a_provider_deleted_meanwhile_stays_deleted(system: System) -> None:
    assert meeting(system, an_outcome(1), lambda provider: system.providers.delete(provider.id)) is None
    assert system.providers.all() == []
    assert (system.history, system.heard) == ([], [])


def registered_anew(system: System) -> Callable[[Provider], None]:
    def register(provider: Provider) -> None:
        anew = replace(provider, version="v2", revision="r2", endpoint="https://new.example.com/v1")
        system.providers.update(provider, anew, reset_health=True)

    return register


def test_a_provider_registered_anew_meanwhile_stays_pending(system: System) -> None:
    got = meeting(system, an_outcome(1, error="no"), registered_anew(system))
    assert got
    assert (got.health.status, got.version) == ("pending", "v2")
    assert system.status() == "pending"
    assert (system.history, system.heard) == ([], [])


def beaten_meanwhile(system: System, outcome: Outcome) -> Callable[[Provider], None]:
    def beat(provider: Provider) -> None:
        assert system.providers.record_beat(provider, next_health(provider.health, outcome))

    return beat


def test_a_beat_that_a_newer_one_overtook_is_dropped(system: System) -> None:
    got = meeting(system, an_outcome(1, error="no"), beaten_meanwhile(system, an_outcome(2)))
    assert got
    assert (got.health.status, system.status()) == ("healthy", "healthy")
    assert (system.history, system.heard) == ([], [])


def test_a_beat_that_an_older_one_overtook_is_counted_anew(system: System) -> None:
    got = meeting(system, an_outcome(2), beaten_meanwhile(system, an_outcome(1, error="no")))
    assert got
    assert (got.health.status, got.health.last_heartbeat_at) == ("healthy", after(2))
    assert got.health == system.providers.get("main").health
    assert system.changes == [("main", "failed", "healthy")]
    assert len(system.history) == 1


def test_a_failure_after_a_failure_that_came_between_is_the_second_of_them(system: System) -> None:
    got = meeting(system, an_outcome(2, error="no"), beaten_meanwhile(system, an_outcome(1, error="no")))
    assert got
    assert got.health.consecutive_failures == 2
    assert system.changes == []


def test_a_change_of_words_meanwhile_does_not_hinder_a_beat(system: System) -> None:
    def rename(provider: Provider) -> None:
        system.providers.update(provider, replace(provider, name="new", revision="r2"), reset_health=False)

    meeting(system, an_outcome(1), rename)
    assert (system.providers.get("main").name, system.status()) == ("new", "healthy")


def test_a_beat_of_a_slot_that_was_written_meanwhile_is_dropped_though_it_is_newer(system: System) -> None:
    system.add("main")
    beat = Scripted(an_outcome(2, error="no"), beaten_meanwhile(system, an_outcome(1, slot=SLOT)))
    system.ticker(beat).tick(SLOT)
    assert system.status() == "healthy"
    assert (system.history, system.heard) == ([], [])


def test_a_beat_outside_the_ticks_leaves_the_slot_of_the_last_one(system: System) -> None:
    system.add("main")
    system.ticker(Scripted(an_outcome(1))).tick(SLOT)
    system.ticker(Scripted(an_outcome(2, error="no"))).beat_one(system.providers.get("main"))
    assert (system.status(), system.providers.get("main").health.last_heartbeat_slot) == ("failed", SLOT)


class Losing(ProviderStore):
    """A table whose answers get lost: boto3 then sends the write again, and finds what it wrote itself."""

    def record_beat(self, beaten: Provider, health: Health) -> bool:
        assert super().record_beat(beaten, health)
        return super().record_beat(beaten, health)


def test_a_write_whose_answer_was_lost_is_told_of_once(system: System) -> None:
    system.add("main")
    ticker = Ticker(Losing(system.aws.providers), Scripted(an_outcome(1)), system.follow(), now=now)
    assert ticker.tick(SLOT).not_written == 0
    assert (len(system.history), system.changes) == (1, [("main", "pending", "healthy")])


def test_a_provider_that_others_write_again_and_again_is_a_beat_not_written(system: System) -> None:
    class Contended(ProviderStore):
        def record_beat(self, beaten: Provider, health: Health) -> bool:
            moved = beaten.health.last_heartbeat_at or after(0)
            super().record_beat(beaten, replace(beaten.health, last_heartbeat_at=moved + timedelta(seconds=1)))
            return super().record_beat(beaten, health)

    system.add("main")
    ticker = Ticker(Contended(system.aws.providers), Scripted(an_outcome(100)), system.follow(), now=now)
    result = ticker.tick(SLOT)
    assert [(trouble.what, type(trouble.error)) for trouble in result.troubles] == [("beat not written", WriteConflict)]
    assert (system.history, system.changes) == ([], [])
    assert system.status() == "pending"


def test_two_executions_of_one_tick_at_once_write_one_beat(system: System) -> None:
    system.add("main")
    meet = Barrier(2, timeout=5)
    beat = Scripted(an_outcome(1), lambda _: meet.wait())
    with ThreadPoolExecutor(2) as both:
        results = list(both.map(lambda _: system.ticker(beat).tick(SLOT), range(2)))
    assert [result.not_written for result in results] == [0, 0]
    assert len(system.history) == 1


def test_a_provider_deleted_and_registered_again_meanwhile_stays_pending(system: System) -> None:
    def again(provider: Provider) -> None:
        system.providers.delete(provider.id)
        system.add("main", version="v2", revision="r2")

    meeting(system, an_outcome(1, error="no"), again)
    assert (system.status(), system.history, system.heard) == ("pending", [], [])
