from gateway.heartbeat.health import next_health
from tests.unit.gateway.builders import after, an_outcome
from tests.unit.gateway.ticking import Scripted, System


def test_a_beat_that_was_asked_for_gives_its_outcome_and_is_written_down(system: System) -> None:
    system.add("main")

    outcome = system.ticker(Scripted(an_outcome(1, error="no"))).beat_one(system.providers.get("main")).outcome

    assert outcome == an_outcome(1, error="no")
    assert system.status() == "failed"
    assert len(system.history) == 1


def test_it_gives_its_outcome_also_where_a_newer_beat_came_between(system: System) -> None:
    system.add("main")

    def newer(provider: object) -> None:
        known = system.providers.get("main")
        system.providers.record_beat(known, next_health(known.health, an_outcome(5)))

    outcome = system.ticker(Scripted(an_outcome(1, error="no"), newer)).beat_one(system.providers.get("main")).outcome

    assert outcome.error == "no"
    assert outcome.started_at == after(1)
    assert system.status() == "healthy"
    assert system.history == []
