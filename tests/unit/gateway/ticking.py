"""A ticker over moto's tables, and beats that meet what a test says."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from gateway.beat import Beat
from gateway.health import Outcome
from gateway.heartbeats import Heartbeats
from gateway.providers import Providers
from gateway.records import Health, Provider, timestamp
from gateway.tick import Ticker
from gateway.upstream import Target, Upstream
from tests.conftest import Aws
from tests.unit.gateway.builders import AT, a_provider, after, completion
from tests.unit.gateway.servers import answer

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


class Scripted(Beat):
    """A beat that meets `outcome`, after something else has happened."""

    def __init__(self, outcome: Outcome, meanwhile: Callable[[Provider], object] = lambda _: None) -> None:
        self.outcome = outcome
        self.meanwhile = meanwhile

    def run(self, provider: Provider, *, slot: str | None) -> Outcome:
        self.meanwhile(provider)
        return replace(self.outcome, slot=slot)
