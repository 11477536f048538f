"""A ticker over moto's tables, and beats that meet what a test says."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from gateway.core.telemetry import make_logger
from gateway.heartbeat.check import Beat
from gateway.heartbeat.health import Outcome, RecordedBeat
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.side_effects import InternalFailure, SideEffects
from gateway.heartbeat.ticker import Ticker
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import HeartbeatSettings, Provider, format_timestamp
from gateway.registry.store import ProviderStore
from tests.conftest import Aws
from tests.unit.gateway.builders import AT, WEEK, a_provider, after, completion
from tests.unit.gateway.servers import DONE, END, STREAM, Piece, Received, answer, chunk

GOOD = answer(body=completion())
WHOLE = [b'data: {"model": "echo", "choices": [{"index": 0, "delta": {"content": "pong"}}]}\n\n', DONE]
GOOD_STREAM = STREAM + b"".join(chunk(frame) for frame in WHOLE) + END
BAD = answer(502, b'{"error": "all providers failed"}')
SLOT, NEXT_SLOT = format_timestamp(AT), format_timestamp(after(30))

LOGGER = make_logger("heartbeat", "INFO")


def now() -> datetime:
    return datetime.now(UTC)


def good(request: Received) -> tuple[Piece, ...]:
    """The script of a provider that answers streams and others."""
    return (GOOD_STREAM if b'"stream": true' in request.body else GOOD,)


def target_for(provider: Provider) -> Target:
    return Target(provider.id, provider.endpoint)


class Events:
    """An EventBridge that takes events, or does not: `refused` are the ids of providers whose events it leaves."""

    def __init__(self, *refused: str) -> None:
        self.taken: list[dict[str, Any]] = []
        self.calls = 0
        self.refused = refused
        self.late: list[InternalFailure] = []

    def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's name
        self.calls += 1
        details = [json.loads(entry["Detail"]) for entry in Entries]
        self.taken += [detail for detail in details if detail["id"] not in self.refused]
        answers = [{"ErrorCode": "InternalFailure"} if d["id"] in self.refused else {"EventId": "1"} for d in details]
        return {"FailedEntryCount": 0, "Entries": answers}

    def follow(self, history: HistoryStore, heard: list[RecordedBeat]) -> SideEffects:
        return SideEffects(history, cast("Any", self), heard.append, self.late.extend)


@dataclass
class System:
    """A ticker over moto's tables, and what it wrote and told."""

    aws: Aws
    providers: ProviderStore
    upstream: Upstream
    heard: list[RecordedBeat] = field(default_factory=list)
    events: Events = field(default_factory=Events)

    def ticker(self, beat: Beat | None = None, *, seconds: float = 5, beat_seconds: float = 3) -> Ticker:
        beat = beat or Beat(self.upstream, target_for, now=now, logger=LOGGER, seconds=beat_seconds)
        return Ticker(self.providers, beat, self.follow(), now=now, seconds=seconds)

    def follow(self, history: HistoryStore | None = None) -> SideEffects:
        return self.events.follow(history or HistoryStore(self.aws.heartbeats, kept=WEEK), self.heard)

    def add(self, *ids: str, **changes: Any) -> None:
        for id_ in ids:
            self.providers.create(a_provider(id=id_, **changes))

    def set_beats(self, id_: str, **settings: Any) -> None:
        """What a registration with another `heartbeat` writes."""
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
        return [(each["id"], each["old_status"], each["new_status"]) for each in self.events.taken]


class Scripted(Beat):
    """A beat that meets `outcome`, after something else has happened."""

    def __init__(self, outcome: Outcome, meanwhile: Callable[[Provider], object] = lambda _: None) -> None:
        self.outcome = outcome
        self.meanwhile = meanwhile

    def run(self, provider: Provider, *, slot: str | None) -> Outcome:
        self.meanwhile(provider)
        return replace(self.outcome, slot=slot)
