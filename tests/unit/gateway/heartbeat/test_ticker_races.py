from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

from gateway.heartbeat.health import Outcome, next_health
from gateway.heartbeat.ticker import Ticker, WriteConflict
from gateway.registry.provider import Health, Provider, format_timestamp
from gateway.registry.store import ProviderStore
from tests.unit.gateway.builders import after, an_outcome
from tests.unit.gateway.ticking import NEXT_SLOT, SLOT, ScriptedCheck, System, now


def beat_while(system: System, outcome: Outcome, during_check: Callable[[Provider], object]) -> Provider | None:
    system.add("main")
    return system.ticker(ScriptedCheck(outcome, during_check)).beat_one(system.providers.get("main")).provider


def test_a_deleted_provider_stays_deleted(system: System) -> None:
    assert beat_while(system, an_outcome(1), lambda provider: system.providers.delete(provider.id)) is None
    assert system.providers.all() == []
    assert (system.history, system.notified) == ([], [])


def register_again(system: System) -> Callable[[Provider], None]:
    def register(provider: Provider) -> None:
        changed = replace(provider, version="v2", revision="r2", endpoint="https://new.example.com/v1")
        system.providers.update(provider, changed, reset_health=True)

    return register


def test_a_reregistered_provider_stays_pending(system: System) -> None:
    after_beat = beat_while(system, an_outcome(1, error="no"), register_again(system))
    assert after_beat
    assert (after_beat.health.status, after_beat.version) == ("pending", "v2")
    assert system.status() == "pending"
    assert (system.history, system.notified) == ([], [])


def record(system: System, outcome: Outcome) -> Callable[[Provider], None]:
    def beat(provider: Provider) -> None:
        assert system.providers.record_beat(provider, next_health(provider.health, outcome))

    return beat


def test_drops_a_beat_that_a_newer_one_overtook(system: System) -> None:
    after_beat = beat_while(system, an_outcome(1, error="no"), record(system, an_outcome(2)))
    assert after_beat
    assert (after_beat.health.status, system.status()) == ("healthy", "healthy")
    assert (system.history, system.notified) == ([], [])


def test_recomputes_a_beat_that_an_older_one_overtook(system: System) -> None:
    after_beat = beat_while(system, an_outcome(2), record(system, an_outcome(1, error="no")))
    assert after_beat
    assert (after_beat.health.status, after_beat.health.last_heartbeat_at) == ("healthy", after(2))
    assert after_beat.health == system.providers.get("main").health
    assert system.changes == [("main", "failed", "healthy")]
    assert len(system.history) == 1


def test_counts_a_failure_that_an_older_one_overtook(system: System) -> None:
    after_beat = beat_while(system, an_outcome(2, error="no"), record(system, an_outcome(1, error="no")))
    assert after_beat
    assert after_beat.health.consecutive_failures == 2
    assert system.changes == []


def test_health_goes_on_after_the_clock_was_set_back(system: System) -> None:
    future = now() + timedelta(days=1)
    health = Health("healthy", future, last_heartbeat_slot=format_timestamp(future))
    system.add("main", health=health)
    outcome = an_outcome(1, error="no")

    assert system.ticker(ScriptedCheck(outcome)).tick(SLOT).not_written == 0

    recorded = system.providers.get("main").health
    assert (recorded.status, recorded.last_heartbeat_at, recorded.last_heartbeat_slot) == ("failed", after(1), SLOT)
    assert (len(system.history), system.changes) == (1, [("main", "healthy", "failed")])
    system.ticker(ScriptedCheck(an_outcome(31))).tick(NEXT_SLOT)
    assert system.status() == "healthy"


def test_a_new_name_does_not_drop_a_beat(system: System) -> None:
    def rename(provider: Provider) -> None:
        system.providers.update(provider, replace(provider, name="new", revision="r2"), reset_health=False)

    beat_while(system, an_outcome(1), rename)
    assert (system.providers.get("main").name, system.status()) == ("new", "healthy")


def test_drops_a_newer_beat_of_a_recorded_slot(system: System) -> None:
    system.add("main")
    check = ScriptedCheck(an_outcome(2, error="no"), record(system, an_outcome(1, slot=SLOT)))
    system.ticker(check).tick(SLOT)
    assert system.status() == "healthy"
    assert (system.history, system.notified) == ([], [])


def test_beat_one_keeps_the_last_slot(system: System) -> None:
    system.add("main")
    system.ticker(ScriptedCheck(an_outcome(1))).tick(SLOT)
    system.ticker(ScriptedCheck(an_outcome(2, error="no"))).beat_one(system.providers.get("main"))
    assert (system.status(), system.providers.get("main").health.last_heartbeat_slot) == ("failed", SLOT)


class LosingStore(ProviderStore):
    """Loses the answer to each first write. boto3 then repeats the write, which conflicts with the first one."""

    def record_beat(self, provider: Provider, health: Health) -> bool:
        assert super().record_beat(provider, health)
        return super().record_beat(provider, health)


def test_reports_a_write_once_if_its_answer_was_lost(system: System) -> None:
    system.add("main")
    ticker = Ticker(LosingStore(system.aws.providers), ScriptedCheck(an_outcome(1)), system.side_effects(), now=now)
    assert ticker.tick(SLOT).not_written == 0
    assert (len(system.history), system.changes) == (1, [("main", "pending", "healthy")])


def test_gives_up_after_repeated_write_conflicts(system: System) -> None:
    class ContendedStore(ProviderStore):
        def record_beat(self, provider: Provider, health: Health) -> bool:
            seen_at = provider.health.last_heartbeat_at or after(0)
            super().record_beat(provider, replace(provider.health, last_heartbeat_at=seen_at + timedelta(seconds=1)))
            return super().record_beat(provider, health)

    system.add("main")
    ticker = Ticker(
        ContendedStore(system.aws.providers), ScriptedCheck(an_outcome(100)), system.side_effects(), now=now
    )
    result = ticker.tick(SLOT)
    assert [(failure.kind, type(failure.error)) for failure in result.failures] == [("beat not written", WriteConflict)]
    assert (system.history, system.changes) == ([], [])
    assert system.status() == "pending"


def test_two_executions_of_a_tick_record_one_beat(system: System) -> None:
    system.add("main")
    barrier = Barrier(2, timeout=30)
    check = ScriptedCheck(an_outcome(1), lambda _: barrier.wait())
    with ThreadPoolExecutor(2) as executor:
        results = list(executor.map(lambda _: system.ticker(check).tick(SLOT), range(2)))
    assert [result.not_written for result in results] == [0, 0]
    assert len(system.history) == 1


def test_a_provider_deleted_and_registered_again_stays_pending(system: System) -> None:
    def again(provider: Provider) -> None:
        system.providers.delete(provider.id)
        system.add("main", version="v2", revision="r2")

    beat_while(system, an_outcome(1, error="no"), again)
    assert (system.status(), system.history, system.notified) == ("pending", [], [])
