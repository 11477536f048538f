import threading
import time
from dataclasses import dataclass, field

from gateway.heartbeat.ticker import MAX_CONCURRENT_BEATS, Ticker
from gateway.registry.provider import Health, Provider, format_timestamp
from gateway.registry.reader import REGISTRY
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.rehearsal import wait_until
from tests.scripted_server import HANG, Pieces, Request, always
from tests.unit.gateway.builders import AT, a_provider, after, an_outcome
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.ticking import BAD, SLOT, ScriptedCheck, System, good


def test_a_hanging_provider_does_not_delay_the_others(system: System, serve: Serve) -> None:
    # Neither server answers before both have a request.
    both_asked = threading.Barrier(2, timeout=30)

    def good_meanwhile(request: Request) -> Pieces:
        return (both_asked.wait, *good(request))

    system.add("hangs", endpoint=serve(always(both_asked.wait, HANG)).url)
    system.add("good", endpoint=serve(good_meanwhile).url)
    result = system.ticker(beat_seconds=2.5).tick(SLOT)
    assert (result.failed, result.unfinished) == (1, 0)
    assert [system.status(id_) for id_ in ("hangs", "good")] == ["failed", "healthy"]


def test_an_unfinished_beat_never_changes_the_status(system: System, serve: Serve) -> None:
    ticked = threading.Event()
    system.add("late", endpoint=serve(always(ticked.wait, BAD)).url)
    system.add("good", endpoint=serve(good).url)
    result = system.ticker(seconds=2.5).tick(SLOT)
    ticked.set()
    assert (result.providers, result.unfinished, result.failed) == (2, 1, 0)
    assert wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("beat")])
    assert system.status("late") == "pending"
    assert [item["provider_id"] for item in system.history] == ["good"]
    assert system.changes == [("good", "pending", "healthy")]


@dataclass
class ConcurrencyCounter:
    """Counts how many checks run at once, and notes the order in which they start.

    The checks end `seconds` after `released` is set.
    """

    order: list[str] = field(default_factory=list)
    running: int = 0
    max_running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)
    seconds: float = 0
    # The number of running checks that sets `released`.
    release_at: int | None = None

    def __call__(self, provider: Provider) -> None:
        with self.lock:
            self.order.append(provider.id)
            self.running += 1
            self.max_running = max(self.max_running, self.running)
            if self.running == self.release_at:
                self.released.set()
        self.released.wait(30)
        time.sleep(self.seconds)
        with self.lock:
            self.running -= 1


def add_many(aws: Aws, providers: ProviderStore, count: int) -> None:
    """Adds `count` providers: the higher the number of one, the older its last beat."""
    providers.create(a_provider(id="p0", health=Health("healthy", AT)))
    item = aws.providers.get_item(Key={"id": "p0"})["Item"]
    with aws.providers.batch_writer() as batch:
        for number in range(1, count):
            batch.put_item(Item=item | {"id": f"p{number}", "last_heartbeat_at": format_timestamp(after(-number))})
    aws.providers.update_item(
        Key={"id": REGISTRY}, UpdateExpression="SET providers = :n", ExpressionAttributeValues={":n": count}
    )


def test_runs_64_beats_at_once_and_the_oldest_first(system: System) -> None:
    add_many(system.aws, system.providers, MAX_CONCURRENT_BEATS + 6)
    # A 65th check would start within this half second.
    counter = ConcurrencyCounter(seconds=0.5, release_at=MAX_CONCURRENT_BEATS)
    result = system.ticker(ScriptedCheck(an_outcome(60), counter)).tick(SLOT)
    assert (result.providers, result.unfinished) == (70, 0)
    assert counter.max_running == MAX_CONCURRENT_BEATS == 64
    assert set(counter.order[64:]) == {f"p{number}" for number in range(6)}


def test_a_beat_that_could_not_start_in_time_never_starts(system: System) -> None:
    add_many(system.aws, system.providers, MAX_CONCURRENT_BEATS + 3)
    counter = ConcurrencyCounter()
    result = system.ticker(ScriptedCheck(an_outcome(60), counter), seconds=2.5).tick(SLOT)
    counter.released.set()
    assert result.unfinished == 67
    assert wait_until(lambda: counter.running == 0)
    assert len(counter.order) == 64
    assert system.history == []


def test_a_beat_that_ends_just_after_the_tick_is_unfinished(system: System) -> None:
    """Its future is done when the tick ends, but its outcome is not recorded."""
    clock = [AT]

    def pass_the_deadline(_: Provider) -> None:
        clock[0] = after(6)

    system.add("late")
    check = ScriptedCheck(an_outcome(1, error="no"), pass_the_deadline)
    result = Ticker(system.providers, check, system.side_effects(), now=lambda: clock[0], seconds=5).tick(SLOT)
    assert (result.providers, result.unfinished, result.failed, result.failures) == (1, 1, 0, ())
    assert (system.status("late"), system.history, system.changes) == ("pending", [], [])
