import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from gateway.heartbeat.check import Beat
from gateway.heartbeat.health import Outcome
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.ticker import Ticker
from gateway.proxy.upstream import Target
from gateway.registry.provider import Health, HeartbeatSettings, Provider, format_timestamp
from gateway.registry.store import ProviderStore
from tests.unit.gateway.builders import WEEK, after, an_outcome
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.servers import always
from tests.unit.gateway.ticking import BAD, LOGGER, NEXT_SLOT, SLOT, Events, Scripted, System, good, now


def test_a_tick_beats_every_enabled_provider_and_writes_down_what_it_met(system: System, serve: Serve) -> None:
    fine, bad, off = serve(good), serve(always(BAD)), serve(good)
    system.add("good", endpoint=fine.url)
    system.add("bad", endpoint=bad.url)
    system.add("off", endpoint=off.url, heartbeat=HeartbeatSettings(enabled=False))
    result = system.ticker().tick(SLOT)
    assert (result.providers, result.failed, result.unfinished, result.troubles) == (2, 1, 0, ())
    assert [system.status(id_) for id_ in ("good", "bad", "off")] == ["healthy", "failed", "pending"]
    assert "all providers failed" in (system.providers.get("bad").health.last_heartbeat_error or "")
    assert {item["provider_id"]: item["good"] for item in system.history} == {"good": True, "bad": False}
    assert sorted(system.changes) == [("bad", "pending", "failed"), ("good", "pending", "healthy")]
    assert [len(server.received) for server in (fine, bad, off)] == [1, 1, 0]


def test_a_tick_without_providers_has_nothing_to_say(system: System) -> None:
    result = system.ticker().tick(SLOT)
    assert (result.providers, result.failed, result.unfinished, result.oldest_beat_s) == (0, 0, 0, 0.0)


def test_the_second_beat_of_a_slot_is_dropped(system: System, serve: Serve) -> None:
    system.add("main", endpoint=serve(good).url)
    for _ in range(2):
        system.ticker().tick(SLOT)
    assert (len(system.history), len(system.heard)) == (1, 1)
    system.ticker().tick(NEXT_SLOT)
    assert (len(system.history), len(system.heard)) == (2, 2)


def test_a_late_repetition_of_an_older_slot_is_dropped(system: System, serve: Serve) -> None:
    system.add("main", endpoint=serve(good).url)
    for slot in (SLOT, NEXT_SLOT, SLOT, NEXT_SLOT):
        system.ticker().tick(slot)
    assert len(system.history) == 2


def test_only_a_change_of_status_is_a_change(system: System) -> None:
    system.add("main")
    for seconds, error in enumerate([None, None, "no", "no", None], start=1):
        system.ticker(Scripted(an_outcome(seconds, error=error))).tick(format_timestamp(after(seconds)))
    changes = [("main", "pending", "healthy"), ("main", "healthy", "failed"), ("main", "failed", "healthy")]
    assert system.changes == changes
    assert len(system.history) == 5


def test_the_age_of_the_oldest_beat_is_told(system: System) -> None:
    system.add("main", created_at=now() - timedelta(hours=1))
    system.add("never", created_at=now() - timedelta(minutes=10), heartbeat=HeartbeatSettings(enabled=False))
    result = system.ticker(Scripted(Outcome(now() - timedelta(seconds=7), 1))).tick(SLOT)
    assert 6 < (result.oldest_beat_s or 0) < 20


def test_a_trouble_of_one_beat_is_told_and_touches_no_other(system: System) -> None:
    def broken(provider: Provider) -> None:
        if provider.id == "bad":
            raise ZeroDivisionError

    system.add("good", "bad", created_at=now() - timedelta(hours=1))
    result = system.ticker(Scripted(Outcome(now(), 1), broken)).tick(SLOT)
    assert [(trouble.what, trouble.provider_id, type(trouble.error)) for trouble in result.troubles] == [
        ("beat not written", "bad", ZeroDivisionError)
    ]
    assert (result.providers, result.unfinished, result.not_written, result.failed) == (2, 0, 1, 0)
    assert (system.status("good"), system.status("bad")) == ("healthy", "pending")
    assert 3500 < result.oldest_beat_s < 3700


def test_a_key_lookup_that_breaks_makes_the_provider_failed(system: System) -> None:
    def broken(_: Provider) -> Target:
        raise ZeroDivisionError

    system.add("main", health=Health("healthy"))
    result = system.ticker(Beat(system.upstream, broken, now=now, logger=LOGGER)).tick(SLOT)
    assert (result.failed, result.not_written, system.status()) == (1, 0, "failed")


def test_a_status_that_dynamodb_does_not_take_is_a_beat_not_written(system: System) -> None:
    class Refusing(ProviderStore):
        def record_beat(self, beaten: Provider, health: Health) -> bool:
            if beaten.id == "bad":
                raise OSError
            return super().record_beat(beaten, health)

    system.add("good", "bad")
    ticker = Ticker(Refusing(system.aws.providers), Scripted(an_outcome(1)), system.follow(), now=now)
    result = ticker.tick(SLOT)
    assert (result.not_written, result.events_not_published, result.unfinished) == (1, 0, 0)
    assert [item["provider_id"] for item in system.history] == ["good"]
    assert system.changes == [("good", "pending", "healthy")]


def test_a_change_is_told_even_when_its_history_cannot_be_written(system: System) -> None:
    class Full(HistoryStore):
        def add_all(self, beats: Sequence[tuple[str, Outcome]]) -> None:
            raise OSError(beats)

    system.add("main")
    result = Ticker(
        system.providers, Scripted(an_outcome(1)), system.follow(Full(system.aws.heartbeats, kept=WEEK)), now=now
    ).tick(SLOT)
    assert system.changes == [("main", "pending", "healthy")]
    assert [(trouble.what, type(trouble.error)) for trouble in result.troubles] == [("history not written", OSError)]
    assert (system.status(), result.not_written) == ("healthy", 1)


def test_an_event_that_is_not_taken_is_counted_and_the_history_is_written_all_the_same(system: System) -> None:
    system.events = Events("bad")
    system.add("good", "bad")
    result = system.ticker(Scripted(an_outcome(1))).tick(SLOT)
    assert (result.events_not_published, result.not_written) == (1, 0)
    assert system.changes == [("good", "pending", "healthy")]
    assert sorted(item["provider_id"] for item in system.history) == ["bad", "good"]


def test_failed_providers_are_counted_as_the_registry_has_them_after_the_tick(system: System) -> None:
    ids = ("now", "gone", "anew", "off")
    system.add(*ids, health=Health("failed"))

    def meanwhile(provider: Provider) -> None:
        if provider.id == "gone":
            system.aws.providers.delete_item(Key={"id": "gone"})
        elif provider.id == "anew":
            anew = replace(provider, version="v2", revision="r2")
            system.providers.update(provider, anew, reset_health=True)
        elif provider.id == "off":
            system.set_beats("off", enabled=False)

    result = system.ticker(Scripted(an_outcome(1, error="no"), meanwhile)).tick(SLOT)
    assert (result.providers, result.failed) == (4, 1)
    assert [item["provider_id"] for item in system.history] == ["now"]
    assert system.changes == []


def test_a_change_of_the_beats_settings_is_honoured_by_the_next_tick(system: System, serve: Serve) -> None:
    server = serve(good)
    system.add("main", endpoint=server.url, model="large")
    system.ticker().tick(SLOT)
    system.set_beats("main", model="small", max_tokens=3)
    system.ticker().tick(NEXT_SLOT)
    asked = [json.loads(request.body) for request in server.received]
    assert [(each["model"], each["max_tokens"]) for each in asked] == [("large", 16), ("small", 3)]
    system.set_beats("main", enabled=False)
    assert system.ticker().tick(format_timestamp(after(60))).providers == 0
    assert len(server.received) == 2


def test_the_first_beat_is_a_stream_and_then_every_20th(system: System, serve: Serve) -> None:
    server = serve(good)
    system.add("main", endpoint=server.url)
    for tick in range(42):
        system.ticker().tick(format_timestamp(after(30 * tick)))
    streams = [number for number, request in enumerate(server.received) if b'"stream": true' in request.body]
    assert streams == [0, 20, 40]
    health = system.providers.get("main").health
    assert (health.beats_since_stream, health.consecutive_failures) == (1, 0)
    assert len(system.changes) == 1


def test_a_beat_outside_the_ticks_tells_its_outcome_and_its_troubles(system: System) -> None:
    system.events = Events("main")
    system.add("main")
    outcome = an_outcome(1)
    beaten = system.ticker(Scripted(outcome)).beat_one(system.providers.get("main"))
    assert beaten.outcome == outcome
    assert beaten.provider == system.providers.get("main")
    assert [trouble.what for trouble in beaten.troubles] == ["event not published"]
