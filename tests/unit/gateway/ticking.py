"""A ticker on moto's tables, with real or scripted checks."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from gateway.core.telemetry import make_logger
from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome, RecordedBeat, next_health
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.heartbeat.rollup_ticks import RollUps
from gateway.heartbeat.side_effects import InternalFailure, SideEffects
from gateway.heartbeat.ticker import Ticker
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, HeartbeatSettings, Provider, format_timestamp
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.scripted_server import DONE, END, STREAM, Piece, Request, answer, chunk
from tests.unit.gateway.builders import AT, WEEK, a_provider, after, an_outcome, completion

GOOD = answer(body=completion())
COMPLETE_FRAMES = [b'data: {"model": "echo", "choices": [{"index": 0, "delta": {"content": "pong"}}]}\n\n', DONE]
GOOD_STREAM = STREAM + b"".join(chunk(frame) for frame in COMPLETE_FRAMES) + END
BAD = answer(502, b'{"error": "all providers failed"}')
SLOT, NEXT_SLOT = format_timestamp(AT), format_timestamp(after(30))

LOGGER = make_logger("heartbeat", "INFO")


def now() -> datetime:
    return datetime.now(UTC)


def good(request: Request) -> tuple[Piece, ...]:
    """The script of a provider that answers every request well, streaming or not."""
    return (GOOD_STREAM if b'"stream": true' in request.body else GOOD,)


def target_for(provider: Provider) -> Target:
    return Target(provider.id, provider.endpoint)


def make_roll_ups(aws: Aws, clock: Callable[[], datetime]) -> RollUps:
    """Roll-ups on moto's tables."""
    return RollUps(HistoryStore(aws.heartbeats, retention=WEEK), RollUpStore(aws.roll_ups), now=clock)


def recorded_beat(id_: str = "main", **changes: Any) -> RecordedBeat:
    """A recorded beat of a healthy provider. `changes` apply to its outcome."""
    before, outcome = Health("healthy"), an_outcome(1, **changes)
    return RecordedBeat(a_provider(id=id_, health=before), outcome, next_health(before, outcome))


def changed_beats(count: int) -> list[RecordedBeat]:
    """Recorded beats that changed the status of their providers p0, p1, …"""
    return [recorded_beat(f"p{number}", error="no") for number in range(count)]


def timed_out[T](beat: Callable[[], T], seconds: float) -> T:
    """Returns the result of a heartbeat that ends after `seconds`.

    The timeout of its connection follows a second later. On a machine that stalls for that long it may come first, with
    another message. Then the heartbeat is repeated.
    """
    for _ in range(2):
        result = beat()
        if f"within {seconds + 1:g} s" not in str(result):
            return result
    return beat()


class Events:
    """An EventBridge that accepts all events but those of the providers with the ids `rejected`."""

    def __init__(self, *rejected: str) -> None:
        self.accepted: list[dict[str, Any]] = []
        self.calls = 0
        self.rejected = rejected
        self.late_failures: list[InternalFailure] = []

    def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's name
        self.calls += 1
        details = [json.loads(entry["Detail"]) for entry in Entries]
        self.accepted += [detail for detail in details if detail["id"] not in self.rejected]
        results = [{"ErrorCode": "InternalFailure"} if d["id"] in self.rejected else {"EventId": "1"} for d in details]
        return {"FailedEntryCount": 0, "Entries": results}

    def side_effects(self, history: HistoryStore, notified: list[RecordedBeat]) -> SideEffects:
        return SideEffects(history, cast("Any", self), notified.append, self.late_failures.extend)


@dataclass
class System:
    """A ticker on moto's tables. `notified` and `events` have what its side effects reported."""

    aws: Aws
    providers: ProviderStore
    upstream: Upstream
    notified: list[RecordedBeat] = field(default_factory=list)
    events: Events = field(default_factory=Events)

    def ticker(self, check: HeartbeatCheck | None = None, *, seconds: float = 60, beat_seconds: float = 30) -> Ticker:
        check = check or HeartbeatCheck(self.upstream, target_for, now=now, logger=LOGGER, seconds=beat_seconds)
        return Ticker(self.providers, check, self.side_effects(), now=now, roll_ups=self.roll_ups(), seconds=seconds)

    def roll_ups(self, clock: Callable[[], datetime] = now) -> RollUps:
        return make_roll_ups(self.aws, clock)

    def side_effects(self, history: HistoryStore | None = None) -> SideEffects:
        return self.events.side_effects(history or HistoryStore(self.aws.heartbeats, retention=WEEK), self.notified)

    def add(self, *ids: str, **changes: Any) -> None:
        for id_ in ids:
            self.providers.create(a_provider(id=id_, **changes))

    def change_settings(self, id_: str, **settings: Any) -> None:
        """Writes what a registration with another `heartbeat` writes."""
        before = self.providers.get(id_)
        after_ = replace(before, heartbeat=HeartbeatSettings(**settings), version="v2", revision="r2")
        self.providers.update(before, after_, reset_health=False)

    def status(self, id_: str = "main") -> str:
        return self.providers.get(id_).health.status

    @property
    def history(self) -> list[dict[str, Any]]:
        return list(self.aws.heartbeats.scan()["Items"])

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        return [(event["id"], event["old_status"], event["new_status"]) for event in self.events.accepted]


class ScriptedCheck(HeartbeatCheck):
    """A check that returns `outcome` after it has called `during_check`."""

    def __init__(self, outcome: Outcome, during_check: Callable[[Provider], object] = lambda _: None) -> None:
        self.outcome = outcome
        self.during_check = during_check

    def run(self, provider: Provider, *, slot: str | None) -> Outcome:
        self.during_check(provider)
        return replace(self.outcome, slot=slot)
