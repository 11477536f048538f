import threading
import time
from dataclasses import dataclass, field

from gateway.heartbeat.ticker import MAX_AT_ONCE, Ticker
from gateway.registry.provider import Health, Provider, format_timestamp
from gateway.registry.store import REGISTRY, ProviderStore
from tests.conftest import Aws
from tests.rehearsal import wait_until
from tests.unit.gateway.builders import AT, a_provider, after, an_outcome
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.servers import HANG, always
from tests.unit.gateway.ticking import BAD, SLOT, Scripted, System, good


def test_a_provider_that_hangs_fails_and_does_not_hold_the_others_up(system: System, serve: Serve) -> None:
    system.add("hangs", endpoint=serve(always(HANG)).url)
    system.add("good", endpoint=serve(good).url)
    began = time.monotonic()
    result = system.ticker(beat_seconds=0.4).tick(SLOT)
    assert time.monotonic() - began < 2
    assert (result.failed, result.unfinished) == (1, 0)
    assert [system.status(id_) for id_ in ("hangs", "good")] == ["failed", "healthy"]


def test_a_beat_that_is_not_done_in_time_keeps_the_status_for_good(system: System, serve: Serve) -> None:
    system.add("late", endpoint=serve(always(0.7, BAD)).url)
    system.add("good", endpoint=serve(good).url)
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


def put(aws: Aws, providers: ProviderStore, count: int) -> None:
    """Many providers; the higher the number, the older the last beat."""
    providers.create(a_provider(id="p0", health=Health("healthy", AT)))
    item = aws.providers.get_item(Key={"id": "p0"})["Item"]
    with aws.providers.batch_writer() as batch:
        for number in range(1, count):
            batch.put_item(Item=item | {"id": f"p{number}", "last_heartbeat_at": format_timestamp(after(-number))})
    aws.providers.update_item(
        Key={"id": REGISTRY}, UpdateExpression="SET providers = :n", ExpressionAttributeValues={":n": count}
    )


def test_at_most_64_beats_run_at_once_and_the_oldest_go_first(system: System) -> None:
    put(system.aws, system.providers, MAX_AT_ONCE + 6)
    crowd = Crowd(hold=1.0)
    result = system.ticker(Scripted(an_outcome(60), crowd), seconds=20).tick(SLOT)
    assert (result.providers, result.unfinished) == (70, 0)
    assert crowd.most == MAX_AT_ONCE == 64
    assert set(crowd.order[64:]) == {f"p{number}" for number in range(6)}


def test_a_beat_that_could_not_begin_in_time_is_unfinished_and_never_begins(system: System) -> None:
    put(system.aws, system.providers, MAX_AT_ONCE + 3)
    crowd = Crowd(hold=0.6)
    result = system.ticker(Scripted(an_outcome(60), crowd), seconds=0.3).tick(SLOT)
    assert result.unfinished == 67
    assert wait_until(lambda: crowd.running == 0, 5)
    assert len(crowd.order) == 64
    assert system.history == []


def test_a_beat_that_ends_just_after_the_tick_is_unfinished(system: System) -> None:
    """It is done when the tick looks, and yet it was not written down."""
    clock = [AT]

    def pass_the_end(_: Provider) -> None:
        clock[0] = after(6)

    system.add("late")
    beat = Scripted(an_outcome(1, error="no"), pass_the_end)
    result = Ticker(system.providers, beat, system.follow(), now=lambda: clock[0], seconds=5).tick(SLOT)
    assert (result.providers, result.unfinished, result.failed, result.troubles) == (1, 1, 0, ())
    assert (system.status("late"), system.history, system.changes) == ("pending", [], [])
