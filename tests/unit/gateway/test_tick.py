import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.beat import Beat
from gateway.health import Outcome, next_health
from gateway.heartbeats import Heartbeats
from gateway.providers import REGISTRY, Providers
from gateway.records import Health, HeartbeatSettings, Provider, timestamp
from gateway.tick import MOST_AT_ONCE, Ticker
from gateway.upstream import Target, Upstream
from tests.conftest import Aws
from tests.rehearsal import wait_until
from tests.unit.gateway.builders import AT, a_provider, after, an_outcome
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.servers import HANG, always, answer
from tests.unit.gateway.test_beat import completion

GOOD = answer(body=completion())
BAD = answer(502, b'{"error": "all providers failed"}')
SLOT, NEXT_SLOT = timestamp(AT), timestamp(after(30))

type Heard = list[tuple[Provider, Outcome, Health]]


def now() -> datetime:
    return datetime.now(UTC)


def target_of(provider: Provider) -> Target:
    return Target(provider.id, provider.endpoint)


@dataclass
class System:
    """A ticker over moto's tables, and what it wrote and told."""

    aws: Aws
    providers: Providers
    upstream: Upstream
    heard: Heard = field(default_factory=list)

    def ticker(self, beat: Beat | None = None, *, seconds: float = 5, beat_seconds: float = 3) -> Ticker:
        beat = beat or Beat(self.upstream, target_of, now=now, seconds=beat_seconds)
        history = Heartbeats(self.aws.heartbeats)
        return Ticker(self.providers, history, beat, self.on_beat, now=now, seconds=seconds)

    def on_beat(self, before: Provider, outcome: Outcome, after_: Health) -> None:
        self.heard.append((before, outcome, after_))

    def add(self, *ids: str, **changes: Any) -> None:
        for id_ in ids:
            self.providers.create(a_provider(id=id_, **changes))

    def status(self, id_: str = "main") -> str:
        return self.providers.get(id_).health.status

    @property
    def history(self) -> list[dict[str, Any]]:
        return list(self.aws.heartbeats.scan()["Items"])

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        return [(b.id, b.health.status, a.status) for b, _, a in self.heard if b.health.status != a.status]


@pytest.fixture
def system(aws: Aws, providers: Providers, patient_upstream: Upstream) -> System:
    return System(aws, providers, patient_upstream)


class Scripted(Beat):
    """A beat that meets `outcome`, after something else has happened."""

    def __init__(self, outcome: Outcome, meanwhile: Callable[[Provider], object] = lambda _: None) -> None:
        self.outcome = outcome
        self.meanwhile = meanwhile

    def run(self, provider: Provider, *, slot: str | None) -> Outcome:
        self.meanwhile(provider)
        return replace(self.outcome, slot=slot)


# A tick


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


# What is not done in time


def test_a_provider_that_hangs_fails_and_does_not_hold_the_others_up(system: System, serve: Serve) -> None:
    system.add("hangs", endpoint=serve(always(HANG)).url)
    system.add("good", endpoint=serve(always(GOOD)).url)
    began = time.monotonic()
    result = system.ticker(beat_seconds=0.4).tick(SLOT)
    assert time.monotonic() - began < 2
    assert (result.failed, result.unfinished) == (1, 0)
    assert [system.status(id_) for id_ in ("hangs", "good")] == ["failed", "healthy"]


def test_a_beat_that_is_not_done_in_time_keeps_the_status_for_good(system: System, serve: Serve) -> None:
    system.add("late", endpoint=serve(always(0.7, BAD)).url)
    system.add("good", endpoint=serve(always(GOOD)).url)
    began = time.monotonic()
    result = system.ticker(seconds=0.4).tick(SLOT)
    assert time.monotonic() - began < 0.7
    assert (result.providers, result.unfinished, result.failed) == (2, 1, 0)
    assert wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("beat")], 5)
    assert system.status("late") == "pending"
    assert [item["provider_id"] for item in system.history] == ["good"]
    assert system.changes == [("good", "pending", "healthy")]


@dataclass
class Crowd:
    """How many beats ran at once, and in which order they began."""

    order: list[str] = field(default_factory=list)
    running: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    hold: float = 0.1

    def __call__(self, provider: Provider) -> None:
        with self.lock:
            self.order.append(provider.id)
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.hold)
        with self.lock:
            self.running -= 1


def put(aws: Aws, providers: Providers, count: int) -> None:
    """Many providers; the higher the number, the older the last beat."""
    providers.create(a_provider(id="p0", health=Health("healthy", AT)))
    item = aws.providers.get_item(Key={"id": "p0"})["Item"]
    with aws.providers.batch_writer() as batch:
        for number in range(1, count):
            batch.put_item(Item=item | {"id": f"p{number}", "last_heartbeat_at": timestamp(after(-number))})
    aws.providers.update_item(
        Key={"id": REGISTRY}, UpdateExpression="SET providers = :n", ExpressionAttributeValues={":n": count}
    )


def test_at_most_64_beats_run_at_once_and_the_oldest_go_first(system: System) -> None:
    put(system.aws, system.providers, MOST_AT_ONCE + 6)
    crowd = Crowd(hold=0.3)
    result = system.ticker(Scripted(an_outcome(60), crowd), seconds=20).tick(SLOT)
    assert (result.providers, result.unfinished) == (70, 0)
    assert crowd.most == MOST_AT_ONCE == 64
    assert set(crowd.order[64:]) == {f"p{number}" for number in range(6)}


def test_a_beat_that_could_not_begin_in_time_is_unfinished_and_never_begins(system: System) -> None:
    put(system.aws, system.providers, MOST_AT_ONCE + 3)
    crowd = Crowd(hold=0.6)
    result = system.ticker(Scripted(an_outcome(60), crowd), seconds=0.3).tick(SLOT)
    assert result.unfinished == 67
    assert wait_until(lambda: crowd.running == 0, 5)
    assert len(crowd.order) == 64
    assert system.history == []


# What happened meanwhile


def meeting(system: System, outcome: Outcome, meanwhile: Callable[[Provider], object]) -> Provider:
    system.add("main")
    return system.ticker(Scripted(outcome, meanwhile)).beat_one(system.providers.get("main"))


def test_a_provider_deleted_meanwhile_stays_deleted(system: System) -> None:
    meeting(system, an_outcome(1), lambda provider: system.providers.delete(provider.id))
    assert system.providers.all() == []
    assert (system.history, system.heard) == ([], [])


def registered_anew(system: System) -> Callable[[Provider], None]:
    def register(provider: Provider) -> None:
        anew = replace(provider, version="v2", revision="r2", endpoint="https://new.example.com/v1")
        system.providers.update(provider, anew, reset_health=True)

    return register


def test_a_provider_registered_anew_meanwhile_stays_pending(system: System) -> None:
    got = meeting(system, an_outcome(1, error="no"), registered_anew(system))
    assert (got.health.status, got.version) == ("pending", "v2")
    assert system.status() == "pending"
    assert (system.history, system.heard) == ([], [])


def beaten_meanwhile(system: System, outcome: Outcome) -> Callable[[Provider], None]:
    def beat(provider: Provider) -> None:
        assert system.providers.record_beat(provider, next_health(provider.health, outcome))

    return beat


def test_a_beat_that_a_newer_one_overtook_is_dropped(system: System) -> None:
    got = meeting(system, an_outcome(1, error="no"), beaten_meanwhile(system, an_outcome(2)))
    assert (got.health.status, system.status()) == ("healthy", "healthy")
    assert (system.history, system.heard) == ([], [])


def test_a_beat_that_an_older_one_overtook_is_counted_anew(system: System) -> None:
    got = meeting(system, an_outcome(2), beaten_meanwhile(system, an_outcome(1, error="no")))
    assert (got.health.status, got.health.last_heartbeat_at) == ("healthy", after(2))
    assert got.health == system.providers.get("main").health
    assert system.changes == [("main", "failed", "healthy")]
    assert len(system.history) == 1


def test_a_failure_after_a_failure_that_came_between_is_the_second_of_them(system: System) -> None:
    got = meeting(system, an_outcome(2, error="no"), beaten_meanwhile(system, an_outcome(1, error="no")))
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
