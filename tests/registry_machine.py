"""Whatever may happen to a registry, in any order, beside a model of it (tests/registry_model.py).

A beat is begun and ended in steps of its own, so that beats are late, early, told twice, out of order, overlapping,
and end for providers that are gone or registered anew meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core.errors import (
    ApiKeyRequired,
    DefaultProviderNeeded,
    GatewayError,
    PreconditionFailed,
    ProviderNotFound,
)
from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import Outcome
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.ticker import Ticker
from gateway.registry.endpoint import Reach
from gateway.registry.etags import IfMatch, etag
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import Provider, timestamp
from gateway.registry.schemas import PatchIn, ProviderIn, ReplacementIn
from gateway.registry.service import Registry
from gateway.registry.store import REGISTRY, ProviderStore
from tests.registry_model import PLAIN, Begun, Fields, Known, shown
from tests.unit.gateway.builders import WEEK
from tests.unit.gateway.ticking import Events

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDS = st.sampled_from(["a", "b"])
KEYS = st.sampled_from([None, None, "", "key-1", "key-2"])
DEFAULTS = st.sampled_from([None, None, True, False])
SOON = st.sampled_from([-60, 0, 0, 60])  # seconds by which a beat begins out of order
type Operation = Callable[[], object]
type BeatArguments = tuple[Fields, int, int | None]
GOOD = st.fixed_dictionaries({"error": st.none(), "model": st.sampled_from([None, "x", "y"])})
BAD = st.fixed_dictionaries({"error": st.sampled_from(["no", "worse"])})
COST = st.fixed_dictionaries({"latency_ms": st.sampled_from([12, 30]), "tokens": st.sampled_from([None, 2, 512])})
STREAM = st.fixed_dictionaries({"stream": st.booleans(), "ttft_ms": st.sampled_from([None, 5, 7])})
MET = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()}, GOOD | BAD, COST, STREAM
)
SLOTS = st.sampled_from([None, 1, 2, 3])
BEATS = st.lists(st.tuples(MET, SOON, SLOTS), min_size=1, max_size=4)  # (what it meets, how late, in which slot)
FIELDS = {
    "endpoint": st.sampled_from(["https://one.example/v1", "https://two.example/v1"]),
    "model": st.sampled_from([None, "x"]),
    "name": st.sampled_from(["first", "second"]),
}
SETTINGS = st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "max_tokens": st.sampled_from([8, 16])})
REPLACEMENTS = st.fixed_dictionaries(FIELDS, optional={"heartbeat": SETTINGS})
PATCHES = st.fixed_dictionaries({}, optional=FIELDS | {"heartbeat": SETTINGS})


@dataclass
class Scripted(HeartbeatCheck):
    """A beat that meets what the test says."""

    outcome: Outcome = field(default_factory=lambda: Outcome(BEGIN, 0))

    def run(self, *_: object, **__: object) -> Outcome:
        return self.outcome


class RegistryMachine(RuleBasedStateMachine):
    def __init__(self, providers: Any, heartbeats: Any, kms: Any, key_arn: str) -> None:
        super().__init__()
        for table, keys in ((providers, ["id"]), (heartbeats, ["provider_id", "at"])):
            for item in table.scan()["Items"]:
                table.delete_item(Key={name: item[name] for name in keys})
        self.tables = providers, heartbeats
        self.providers = ProviderStore(providers)
        reach = Reach(private_networks=False, loopback=False)
        self.registry = Registry(self.providers, KeyCipher(kms, key_arn), clock=self.now, reach=reach)
        self.beat = Scripted()
        self.events = Events()
        side_effects = self.events.side_effects(HistoryStore(heartbeats, retention=WEEK), [])
        self.ticker = Ticker(self.providers, self.beat, side_effects, now=self.now)
        self.steps = self.versions = 0
        self.changes: list[tuple[str, str, str]] = []
        self.known: dict[str, Known] = {}
        self.seen: dict[str, Provider] = {}
        self.default: str | None = None
        self.begun: list[Begun] = []
        self.history: set[tuple[str, str, bool]] = set()

    def now(self) -> datetime:
        self.steps += 1
        return self.just_now()

    def just_now(self) -> datetime:
        """What the clock said last."""
        return BEGIN + timedelta(seconds=self.steps, microseconds=self.steps)

    @initialize()
    def one_is_there(self) -> None:
        self.register("a", {"endpoint": "https://one.example/v1", "model": None, "name": "first"}, "key-1", None)

    @rule(id_=IDS, fields=REPLACEMENTS, key=KEYS, default=DEFAULTS)
    def register(self, id_: str, fields: Fields, key: str | None, default: bool | None) -> None:
        body = ProviderIn.model_validate(_body(fields, key, default) | {"id": id_})
        if id_ in self.known:
            self.change(id_, self.known[id_].replaced(fields), key, default, lambda: self.registry.register(body))
            return
        assert self.registry.register(body).created
        self.versions += 1
        settings = PLAIN | fields.get("heartbeat", {})
        self.known[id_] = Known(fields | {"heartbeat": settings}, key or None, self.versions)
        self.default = id_ if default or self.default is None else self.default

    @rule(id_=IDS, put=st.booleans(), replacement=REPLACEMENTS, patch=PATCHES, key=KEYS, default=DEFAULTS)
    def change_it(
        self, id_: str, put: bool, replacement: Fields, patch: Fields, key: str | None, default: bool | None
    ) -> None:
        call = self.put(id_, replacement, key, default) if put else self.patch(id_, patch, key, default)
        if id_ not in self.known:
            refused_with(ProviderNotFound, call)
            return
        before = self.known[id_]
        self.change(id_, before.replaced(replacement) if put else before.patched(patch), key, default, call)

    @rule(id_=IDS, key=st.sampled_from(["", "key-1", "key-2"]))
    def rotate_the_key(self, id_: str, key: str) -> None:
        self.change_it(id_, put=False, replacement={}, patch={}, key=key, default=None)

    def put(self, id_: str, fields: Fields, key: str | None, default: bool | None) -> Operation:
        body = ReplacementIn.model_validate(_body(fields, key, default))
        return lambda: self.registry.replace(id_, body)

    def patch(self, id_: str, fields: Fields, key: str | None, default: bool | None) -> Operation:
        body = PatchIn.model_validate(_body(fields, key, default))
        return lambda: self.registry.patch(id_, body)

    @precondition(lambda self: self.seen)
    @rule(which=st.integers(0, 9))
    def change_only_what_was_read(self, which: int) -> None:
        read = list(self.seen.values())[which % len(self.seen)]
        expected, now = IfMatch(frozenset({etag(read)})), self.providers.find(read.id)
        body = PatchIn.model_validate({"name": f"changed at step {self.steps}"})
        if now is not None and (now.revision, now.default) == (read.revision, read.default):
            self.registry.patch(read.id, body, expected)
            self.known[read.id].fields = self.known[read.id].fields | {"name": body.name}
        else:
            gone = ProviderNotFound if now is None else PreconditionFailed
            refused_with(gone, lambda: self.registry.patch(read.id, body, expected))

    @rule(id_=IDS)
    def delete(self, id_: str) -> None:
        if id_ not in self.known:
            refused_with(ProviderNotFound, lambda: self.registry.delete(id_))
        elif id_ == self.default and len(self.known) > 1:
            refused_with(DefaultProviderNeeded, lambda: self.registry.delete(id_))
        else:
            self.registry.delete(id_)
            del self.known[id_]
            self.default = None if id_ == self.default else self.default

    def change(self, id_: str, fields: Fields, key: str | None, default: bool | None, call: Operation) -> None:
        """What all three calls have in common when the provider is there."""
        before = self.known[id_]
        if default is False and id_ == self.default:
            refused_with(DefaultProviderNeeded, call)
            return
        if key is None and before.key is not None and fields["endpoint"] != before.fields["endpoint"]:
            refused_with(ApiKeyRequired, call)
            return
        call()
        after = replace(before, fields=fields, key=before.key if key is None else key or None)
        if after.checked() != before.checked():
            after = after.reset(at=self.just_now())
        if (after.checked(), fields["heartbeat"]) != (before.checked(), before.fields["heartbeat"]):
            self.versions += 1
            after = replace(after, version=self.versions)
        self.known[id_] = after
        self.default = id_ if default else self.default

    @rule(id_=IDS, beats=BEATS)
    def beat_it(self, id_: str, beats: list[BeatArguments]) -> None:
        for arguments in beats if id_ in self.known else []:
            self.begin(id_, *arguments)
            self.end(self.begun.pop())

    @rule(id_=IDS, beats=BEATS)
    def begin_beats(self, id_: str, beats: list[BeatArguments]) -> None:
        for arguments in beats if id_ in self.known else []:
            self.begin(id_, *arguments)

    @precondition(lambda self: self.begun)
    @rule(order=st.randoms(use_true_random=False), again=st.booleans())
    def end_the_beats(self, order: Random, again: bool) -> None:
        beats = self.begun
        order.shuffle(beats)
        self.begun = [beat.run_again() for beat in beats[:1] if again]
        for beat in beats:
            self.end(beat)

    def begin(self, id_: str, met: Fields, soon: int, slot: int | None) -> None:
        tick = None if slot is None else timestamp(BEGIN + timedelta(seconds=30 * slot))
        outcome = Outcome(self.now() + timedelta(seconds=soon), slot=tick, **met)
        self.seen[id_] = self.providers.get(id_)
        self.begun.append(Begun(self.seen[id_], self.known[id_].version, outcome))

    def end(self, beat: Begun) -> None:
        self.beat.outcome = beat.outcome
        self.ticker.beat_one(beat.provider)
        known = self.known.get(beat.provider.id)
        if known is not None and known.version == beat.version and known.takes(beat.outcome):
            self.written(beat.provider.id, known, beat.outcome)

    def written(self, id_: str, known: Known, outcome: Outcome) -> None:
        before = known.health.status
        known.beaten(outcome)
        if known.health.status != before:
            self.changes.append((id_, before, known.health.status))
        self.history.add((id_, timestamp(outcome.started_at), outcome.error is None))

    # ---- after every step ----

    @invariant()
    def the_tables_are_as_the_model_says(self) -> None:
        found = self.providers.all()
        expected = {id_: known.shown(id_) for id_, known in self.known.items()}
        assert {provider.id: shown(provider) for provider in found} == expected
        assert [provider.id for provider in found if provider.default] == ([self.default] if self.default else [])
        item = self.tables[0].get_item(Key={"id": REGISTRY}).get("Item", {})
        assert (item.get("default_id"), item.get("providers", 0)) == (self.default, len(self.known))

    @invariant()
    def each_beat_that_counted_is_in_the_history_and_each_change_of_status_was_told_once(self) -> None:
        told = [(event["id"], event["old_status"], event["new_status"]) for event in self.events.accepted]
        assert told == self.changes
        items = self.tables[1].scan()["Items"]
        assert {(item["provider_id"], item["at"], item["good"]) for item in items} == self.history


def _body(fields: Fields, key: str | None, default: bool | None) -> dict[str, Any]:
    given = {"api_key": key, "default": default}
    return fields | {name: value for name, value in given.items() if value is not None}


def refused_with(kind: type[GatewayError], call: Operation) -> None:
    with pytest.raises(kind):
        call()
