import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.ticker import Ticker
from gateway.proxy.upstream import Target
from gateway.registry.provider import Health, HeartbeatSettings, Provider, format_timestamp
from gateway.registry.store import ProviderStore
from tests.scripted_server import always
from tests.unit.gateway.builders import WEEK, a_provider, after, an_outcome
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.memory_table import MemoryProviders, MemoryTable
from tests.unit.gateway.ticking import (
    BAD,
    LOGGER,
    NEXT_SLOT,
    SLOT,
    Events,
    ScriptedCheck,
    System,
    good,
    now,
    target_for,
)


def test_beats_every_enabled_provider_and_records_the_outcomes(system: System, serve: Serve) -> None:
    good_server, bad_server, disabled = serve(good), serve(always(BAD)), serve(good)
    system.add("good", endpoint=good_server.url)
    system.add("bad", endpoint=bad_server.url)
    system.add("off", endpoint=disabled.url, heartbeat=HeartbeatSettings(enabled=False))
    result = system.ticker().tick(SLOT)
    assert (result.providers, result.failed, result.unfinished, result.failures) == (2, 1, 0, ())
    assert [system.status(id_) for id_ in ("good", "bad", "off")] == ["healthy", "failed", "pending"]
    assert "all providers failed" in (system.providers.get("bad").health.last_heartbeat_error or "")
    assert {item["provider_id"]: item["good"] for item in system.history} == {"good": True, "bad": False}
    assert sorted(system.changes) == [("bad", "pending", "failed"), ("good", "pending", "healthy")]
    assert [len(server.requests) for server in (good_server, bad_server, disabled)] == [1, 1, 0]


def test_a_tick_without_providers_has_zero_counts(system: System) -> None:
    result = system.ticker().tick(SLOT)
    assert (result.providers, result.failed, result.unfinished, result.oldest_beat_s) == (0, 0, 0, 0.0)


def test_drops_the_second_beat_of_a_slot(system: System, serve: Serve) -> None:
    system.add("main", endpoint=serve(good).url)
    for _ in range(2):
        system.ticker().tick(SLOT)
    assert (len(system.history), len(system.notified)) == (1, 1)
    system.ticker().tick(NEXT_SLOT)
    assert (len(system.history), len(system.notified)) == (2, 2)


def test_drops_a_repeated_older_slot(system: System, serve: Serve) -> None:
    system.add("main", endpoint=serve(good).url)
    for slot in (SLOT, NEXT_SLOT, SLOT, NEXT_SLOT):
        system.ticker().tick(slot)
    assert len(system.history) == 2


def test_publishes_only_changes_of_status(system: System) -> None:
    system.add("main")
    for seconds, error in enumerate([None, None, "no", "no", None], start=1):
        system.ticker(ScriptedCheck(an_outcome(seconds, error=error))).tick(format_timestamp(after(seconds)))
    changes = [("main", "pending", "healthy"), ("main", "healthy", "failed"), ("main", "failed", "healthy")]
    assert system.changes == changes
    assert len(system.history) == 5


def test_reports_the_age_of_the_oldest_beat(system: System) -> None:
    system.add("main", created_at=now() - timedelta(hours=1))
    system.add("never", created_at=now() - timedelta(minutes=10), heartbeat=HeartbeatSettings(enabled=False))
    result = system.ticker(ScriptedCheck(Outcome(now() - timedelta(seconds=7), 1))).tick(SLOT)
    assert 6 < (result.oldest_beat_s or 0) < 20


def test_one_failing_beat_does_not_affect_others(system: System) -> None:
    def broken(provider: Provider) -> None:
        if provider.id == "bad":
            raise ZeroDivisionError

    system.add("good", "bad", created_at=now() - timedelta(hours=1))
    result = system.ticker(ScriptedCheck(Outcome(now(), 1), broken)).tick(SLOT)
    assert [(failure.kind, failure.provider_id, type(failure.error)) for failure in result.failures] == [
        ("beat not written", "bad", ZeroDivisionError)
    ]
    assert (result.providers, result.unfinished, result.not_written, result.failed) == (2, 0, 1, 0)
    assert (system.status("good"), system.status("bad")) == ("healthy", "pending")
    assert 3500 < result.oldest_beat_s < 3700


def test_a_broken_key_lookup_fails_the_provider(system: System) -> None:
    def broken(_: Provider) -> Target:
        raise ZeroDivisionError

    system.add("main", health=Health("healthy"))
    result = system.ticker(HeartbeatCheck(system.upstream, broken, now=now, logger=LOGGER)).tick(SLOT)
    assert (result.failed, result.not_written, system.status()) == (1, 0, "failed")


def test_reports_a_status_that_dynamodb_rejects(system: System) -> None:
    class FailingStore(ProviderStore):
        def record_beat(self, provider: Provider, health: Health) -> bool:
            if provider.id == "bad":
                raise OSError
            return super().record_beat(provider, health)

    system.add("good", "bad")
    ticker = Ticker(FailingStore(system.aws.providers), ScriptedCheck(an_outcome(1)), system.side_effects(), now=now)
    result = ticker.tick(SLOT)
    assert (result.not_written, result.events_not_published, result.unfinished) == (1, 0, 0)
    assert [item["provider_id"] for item in system.history] == ["good"]
    assert system.changes == [("good", "pending", "healthy")]


def test_publishes_a_change_without_its_history(system: System) -> None:
    class FullHistory(HistoryStore):
        def add_all(self, beats: Sequence[tuple[str, Outcome]]) -> None:
            raise OSError(beats)

    system.add("main")
    result = Ticker(
        system.providers,
        ScriptedCheck(an_outcome(1)),
        system.side_effects(FullHistory(system.aws.heartbeats, retention=WEEK)),
        now=now,
    ).tick(SLOT)
    assert system.changes == [("main", "pending", "healthy")]
    assert [(failure.kind, type(failure.error)) for failure in result.failures] == [("history not written", OSError)]
    assert (system.status(), result.not_written) == ("healthy", 1)


def test_stores_the_history_without_the_event(system: System) -> None:
    system.events = Events("bad")
    system.add("good", "bad")
    result = system.ticker(ScriptedCheck(an_outcome(1))).tick(SLOT)
    assert (result.events_not_published, result.not_written) == (1, 0)
    assert system.changes == [("good", "pending", "healthy")]
    assert sorted(item["provider_id"] for item in system.history) == ["bad", "good"]


def test_counts_failed_providers_after_the_tick(system: System) -> None:
    ids = ("now", "gone", "anew", "off")
    system.add(*ids, health=Health("failed"))

    def during_check(provider: Provider) -> None:
        if provider.id == "gone":
            system.aws.providers.delete_item(Key={"id": "gone"})
        elif provider.id == "anew":
            changed = replace(provider, version="v2", revision="r2")
            system.providers.update(provider, changed, reset_health=True)
        elif provider.id == "off":
            system.change_settings("off", enabled=False)

    result = system.ticker(ScriptedCheck(an_outcome(1, error="no"), during_check)).tick(SLOT)
    assert (result.providers, result.failed) == (4, 1)
    assert [item["provider_id"] for item in system.history] == ["now"]
    assert system.changes == []


def test_the_next_tick_uses_changed_settings(system: System, serve: Serve) -> None:
    server = serve(good)
    system.add("main", endpoint=server.url, model="large")
    system.ticker().tick(SLOT)
    system.change_settings("main", model="small", max_tokens=3)
    system.ticker().tick(NEXT_SLOT)
    bodies = [json.loads(request.body) for request in server.requests]
    assert [(body["model"], body["max_tokens"]) for body in bodies] == [("large", 16), ("small", 3)]
    system.change_settings("main", enabled=False)
    assert system.ticker().tick(format_timestamp(after(60))).providers == 0
    assert len(server.requests) == 2


def test_streams_the_first_and_every_20th_beat(system: System, serve: Serve) -> None:
    server = serve(good)
    # In memory: 42 ticks on moto take seconds.
    providers, history = MemoryProviders([a_provider(endpoint=server.url)]), MemoryTable("heartbeats", "at")
    side_effects = system.side_effects(HistoryStore(cast("Any", history), retention=WEEK))
    check = HeartbeatCheck(system.upstream, target_for, now=now, logger=LOGGER, seconds=30)
    ticker = Ticker(providers.as_store(), check, side_effects, now=now)
    for tick in range(42):
        assert ticker.tick(format_timestamp(after(30 * tick))).failures == ()
    streams = [number for number, request in enumerate(server.requests) if b'"stream": true' in request.body]
    assert streams == [0, 20, 40]
    [provider] = providers.all()
    assert (provider.health.beats_since_stream, provider.health.consecutive_failures) == (1, 0)
    assert len(system.changes) == 1


def test_beat_one_returns_the_outcome_and_the_failures(system: System) -> None:
    system.events = Events("main")
    system.add("main")
    outcome = an_outcome(1)
    beat = system.ticker(ScriptedCheck(outcome)).beat_one(system.providers.get("main"))
    assert beat.outcome == outcome
    assert beat.provider == system.providers.get("main")
    assert [failure.kind for failure in beat.failures] == ["event not published"]
