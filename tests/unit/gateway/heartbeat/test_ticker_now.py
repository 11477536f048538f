from gateway.heartbeat.health import next_health
from tests.unit.gateway.builders import after, an_outcome
from tests.unit.gateway.ticking import ScriptedCheck, System


def test_beat_one_records_and_returns_the_outcome(system: System) -> None:
    system.add("main")

    outcome = system.ticker(ScriptedCheck(an_outcome(1, error="no"))).beat_one(system.providers.get("main")).outcome

    assert outcome == an_outcome(1, error="no")
    assert system.status() == "failed"
    assert len(system.history) == 1


def test_beat_one_returns_an_outcome_that_a_newer_beat_overtook(system: System) -> None:
    system.add("main")

    def record_newer_beat(provider: object) -> None:
        current = system.providers.get("main")
        system.providers.record_beat(current, next_health(current.health, an_outcome(5)))

    outcome = (
        system.ticker(ScriptedCheck(an_outcome(1, error="no"), record_newer_beat))
        .beat_one(system.providers.get("main"))
        .outcome
    )

    assert outcome.error == "no"
    assert outcome.started_at == after(1)
    assert system.status() == "healthy"
    assert system.history == []
