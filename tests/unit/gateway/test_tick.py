from datetime import timedelta

from gateway.health import Outcome
from gateway.heartbeats import Heartbeats
from gateway.records import HeartbeatSettings, Provider, timestamp
from gateway.tick import Ticker
from tests.unit.gateway.builders import after, an_outcome
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.servers import always
from tests.unit.gateway.ticking import BAD, GOOD, NEXT_SLOT, SLOT, Scripted, System, now


def test_a_tick_beats_every_enabled_provider_and_writes_down_what_it_met(system: System, serve: Serve) -> None:
    good, bad, off = serve(always(GOOD)), serve(always(BAD)), serve(always(GOOD))
    system.add("good", endpoint=good.url)
    system.add("bad", endpoint=bad.url)
    system.add("off", endpoint=off.url, heartbeat=HeartbeatSettings(enabled=False))
    result = system.ticker().tick(SLOT)
    assert (result.providers, result.failed, result.unfinished, result.troubles) == (2, 1, 0, ())
    assert [system.status(id_) for id_ in ("good", "bad", "off")] == ["healthy", "failed", "pending"]
    assert "all providers failed" in (system.providers.get("bad").health.last_heartbeat_error or "")
    assert {item["provider_id"]: item["good"] for item in system.history} == {"good": True, "bad": False}
    assert sorted(system.changes) == [("bad", "pending", "failed"), ("good", "pending", "healthy")]
    assert [len(server.received) for server in (good, bad, off)] == [1, 1, 0]


def test_a_tick_without_providers_has_nothing_to_say(system: System) -> None:
    result = system.ticker().tick(SLOT)
    assert (result.providers, result.failed, result.unfinished, result.oldest_beat_s) == (0, 0, 0, None)


def test_the_second_beat_of_a_slot_is_dropped(system: System, serve: Serve) -> None:
    system.add("main", endpoint=serve(always(GOOD)).url)
    for _ in range(2):
        system.ticker().tick(SLOT)
    assert (len(system.history), len(system.heard)) == (1, 1)
    system.ticker().tick(NEXT_SLOT)
    assert (len(system.history), len(system.heard)) == (2, 2)


def test_a_late_repetition_of_an_older_slot_is_dropped(system: System, serve: Serve) -> None:
    system.add("main", endpoint=serve(always(GOOD)).url)
    for slot in (SLOT, NEXT_SLOT, SLOT, NEXT_SLOT):
        system.ticker().tick(slot)
    assert len(system.history) == 2


def test_only_a_change_of_status_is_a_change(system: System) -> None:
    system.add("main")
    for seconds, error in enumerate([None, None, "no", "no", None], start=1):
        system.ticker(Scripted(an_outcome(seconds, error=error))).tick(timestamp(after(seconds)))
    changes = [("main", "pending", "healthy"), ("main", "healthy", "failed"), ("main", "failed", "healthy")]
    assert system.changes == changes
    assert len(system.history) == 5


def test_the_age_of_the_oldest_beat_is_told(system: System) -> None:
    system.add("main", created_at=now() - timedelta(hours=1))
    system.add("never", created_at=now() - timedelta(minutes=10), heartbeat=HeartbeatSettings(enabled=False))
    result = system.ticker(Scripted(Outcome(now() - timedelta(seconds=7), 1))).tick(SLOT)
    assert 6 < (result.oldest_beat_s or 0) < 20


def test_a_trouble_of_our_own_is_told_and_leaves_the_status(system: System) -> None:
    def broken(provider: Provider) -> None:
        if provider.id == "bad":
            raise ZeroDivisionError

    system.add("good", "bad", created_at=now() - timedelta(hours=1))
    result = system.ticker(Scripted(Outcome(now(), 1), broken)).tick(SLOT)
    assert [type(trouble) for trouble in result.troubles] == [ZeroDivisionError]
    assert (result.providers, result.unfinished, result.failed) == (2, 1, 0)
    assert (system.status("good"), system.status("bad")) == ("healthy", "pending")
    assert 3500 < (result.oldest_beat_s or 0) < 3700


def test_a_change_is_told_even_when_its_history_cannot_be_written(system: System) -> None:
    class Full(Heartbeats):
        def add(self, provider_id: str, outcome: Outcome) -> None:
            raise OSError(provider_id, outcome)

    system.add("main")
    beat = Scripted(an_outcome(1))
    ticker = Ticker(system.providers, Full(system.aws.heartbeats), beat, system.on_beat, now=now)
    result = ticker.tick(SLOT)
    assert system.changes == [("main", "pending", "healthy")]
    assert [type(trouble) for trouble in result.troubles] == [OSError]
