"""A hypothesis state machine: runs operations on a registry in any order and compares it with tests/registry_model.py.

Heartbeats start and finish in separate steps, so that they overlap, arrive late, early, twice and out of order, and
finish for providers that were deleted or registered again meanwhile.
"""

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
from gateway.registry.endpoint import EndpointPolicy
from gateway.registry.etags import IfMatch, etag
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import Provider, format_timestamp
from gateway.registry.reader import REGISTRY
from gateway.registry.schemas import PatchIn, ProviderIn, ReplacementIn
from gateway.registry.service import Registry
from gateway.registry.store import ProviderStore
from tests.registry_model import DEFAULT_SETTINGS, Fields, ProviderModel, StartedBeat, observed_state
from tests.unit.gateway.builders import WEEK
from tests.unit.gateway.ticking import Events

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDS = st.sampled_from(["a", "b"])
KEYS = st.sampled_from([None, None, "", "key-1", "key-2"])
DEFAULTS = st.sampled_from([None, None, True, False])
# Seconds added to the start of a heartbeat, so that some start out of order.
START_OFFSETS = st.sampled_from([-60, 0, 0, 60])
type Operation = Callable[[], object]
type BeatArguments = tuple[Fields, int, int | None]
type ReadItems = Callable[[Any], list[dict[str, Any]]]
SUCCESSES = st.fixed_dictionaries({"error": st.none(), "model": st.sampled_from([None, "x", "y"])})
FAILURES = st.fixed_dictionaries({"error": st.sampled_from(["no", "worse"])})
COSTS = st.fixed_dictionaries({"latency_ms": st.sampled_from([12, 30]), "tokens": st.sampled_from([None, 2, 512])})
STREAMS = st.fixed_dictionaries({"stream": st.booleans(), "ttft_ms": st.sampled_from([None, 5, 7])})
OUTCOMES = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()}, SUCCESSES | FAILURES, COSTS, STREAMS
)
SLOTS = st.sampled_from([None, 1, 2, 3])
# Tuples of outcome fields, start offset and slot.
BEATS = st.lists(st.tuples(OUTCOMES, START_OFFSETS, SLOTS), min_size=1, max_size=4)
FIELDS = {
    "endpoint": st.sampled_from(["https://one.example/v1", "https://two.example/v1"]),
    "model": st.sampled_from([None, "x"]),
    "name": st.sampled_from(["first", "second"]),
}
SETTINGS = st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "max_tokens": st.sampled_from([8, 16])})
REPLACEMENTS = st.fixed_dictionaries(FIELDS, optional={"heartbeat": SETTINGS})
PATCHES = st.fixed_dictionaries({}, optional=FIELDS | {"heartbeat": SETTINGS})


@dataclass
class ScriptedBeat(HeartbeatCheck):
    """Returns the outcome that the machine sets."""

    outcome: Outcome = field(default_factory=lambda: Outcome(BEGIN, 0))

    def run(self, *_: object, **__: object) -> Outcome:
        return self.outcome


def scan(table: Any) -> list[dict[str, Any]]:
    """Returns all items of a table smaller than one page."""
    items: list[dict[str, Any]] = table.scan(ConsistentRead=True)["Items"]
    return items


class RegistryMachine(RuleBasedStateMachine):
    """`read_items` returns all items of a table. The invariants call it twice per step, so it should be fast."""

    def __init__(self, providers: Any, heartbeats: Any, kms: Any, key_arn: str, read_items: ReadItems = scan) -> None:
        super().__init__()
        for table, keys in ((providers, ["id"]), (heartbeats, ["provider_id", "at"])):
            for item in read_items(table):
                table.delete_item(Key={name: item[name] for name in keys})
        self.providers_table, self.heartbeats_table, self.read_items = providers, heartbeats, read_items
        self.store = ProviderStore(providers)
        endpoint_policy = EndpointPolicy(private_networks=False, loopback=False)
        self.registry = Registry(self.store, KeyCipher(kms, key_arn), clock=self.now, endpoint_policy=endpoint_policy)
        self.beat = ScriptedBeat()
        self.events = Events()
        side_effects = self.events.side_effects(HistoryStore(heartbeats, retention=WEEK), [])
        # The slots and starts of the heartbeats are ahead of the machine's clock, and the ticker ignores future ones.
        self.ticker = Ticker(self.store, self.beat, side_effects, now=lambda: self.last_now() + timedelta(hours=1))
        self.steps = self.versions = 0
        self.status_changes: list[tuple[str, str, str]] = []
        self.models: dict[str, ProviderModel] = {}
        self.read_providers: dict[str, Provider] = {}
        self.default: str | None = None
        self.started: list[StartedBeat] = []
        self.history: set[tuple[str, str, bool]] = set()

    def now(self) -> datetime:
        self.steps += 1
        return self.last_now()

    def last_now(self) -> datetime:
        """The time that the clock returned last."""
        return BEGIN + timedelta(seconds=self.steps, microseconds=self.steps)

    @initialize()
    def register_first(self) -> None:
        self.register("a", {"endpoint": "https://one.example/v1", "model": None, "name": "first"}, "key-1", None)

    @rule(id_=IDS, fields=REPLACEMENTS, key=KEYS, default=DEFAULTS)
    def register(self, id_: str, fields: Fields, key: str | None, default: bool | None) -> None:
        body = ProviderIn.model_validate(_body(fields, key, default) | {"id": id_})
        if id_ in self.models:
            self.change(id_, self.models[id_].replaced(fields), key, default, lambda: self.registry.register(body))
            return
        assert self.registry.register(body).created
        self.versions += 1
        settings = DEFAULT_SETTINGS | fields.get("heartbeat", {})
        self.models[id_] = ProviderModel(fields | {"heartbeat": settings}, key or None, self.versions)
        self.default = id_ if default or self.default is None else self.default

    @rule(id_=IDS, put=st.booleans(), replacement=REPLACEMENTS, patch=PATCHES, key=KEYS, default=DEFAULTS)
    def change_any(
        self, id_: str, put: bool, replacement: Fields, patch: Fields, key: str | None, default: bool | None
    ) -> None:
        call = self.put(id_, replacement, key, default) if put else self.patch(id_, patch, key, default)
        if id_ not in self.models:
            assert_raises(ProviderNotFound, call)
            return
        before = self.models[id_]
        self.change(id_, before.replaced(replacement) if put else before.patched(patch), key, default, call)

    @rule(id_=IDS, key=st.sampled_from(["", "key-1", "key-2"]))
    def rotate_key(self, id_: str, key: str) -> None:
        self.change_any(id_, put=False, replacement={}, patch={}, key=key, default=None)

    def put(self, id_: str, fields: Fields, key: str | None, default: bool | None) -> Operation:
        body = ReplacementIn.model_validate(_body(fields, key, default))
        return lambda: self.registry.replace(id_, body)

    def patch(self, id_: str, fields: Fields, key: str | None, default: bool | None) -> Operation:
        body = PatchIn.model_validate(_body(fields, key, default))
        return lambda: self.registry.patch(id_, body)

    @precondition(lambda self: self.read_providers)
    @rule(index=st.integers(0, 9))
    def change_with_if_match(self, index: int) -> None:
        read = list(self.read_providers.values())[index % len(self.read_providers)]
        if_match, current = IfMatch(frozenset({etag(read)})), self.store.find(read.id)
        body = PatchIn.model_validate({"name": f"changed at step {self.steps}"})
        if current is not None and (current.revision, current.default) == (read.revision, read.default):
            self.registry.patch(read.id, body, if_match)
            self.models[read.id].fields = self.models[read.id].fields | {"name": body.name}
        else:
            error = ProviderNotFound if current is None else PreconditionFailed
            assert_raises(error, lambda: self.registry.patch(read.id, body, if_match))

    @rule(id_=IDS)
    def delete(self, id_: str) -> None:
        if id_ not in self.models:
            assert_raises(ProviderNotFound, lambda: self.registry.delete(id_))
        elif id_ == self.default and len(self.models) > 1:
            assert_raises(DefaultProviderNeeded, lambda: self.registry.delete(id_))
        else:
            self.registry.delete(id_)
            del self.models[id_]
            self.default = None if id_ == self.default else self.default

    def change(self, id_: str, fields: Fields, key: str | None, default: bool | None, call: Operation) -> None:
        """POST, PUT or PATCH of an existing provider: runs the call and updates the model."""
        before = self.models[id_]
        if default is False and id_ == self.default:
            assert_raises(DefaultProviderNeeded, call)
            return
        if key is None and before.key is not None and fields["endpoint"] != before.fields["endpoint"]:
            assert_raises(ApiKeyRequired, call)
            return
        call()
        after = replace(before, fields=fields, key=before.key if key is None else key or None)
        if after.reset_fields() != before.reset_fields():
            after = after.reset(at=self.last_now())
        if (after.reset_fields(), fields["heartbeat"]) != (before.reset_fields(), before.fields["heartbeat"]):
            self.versions += 1
            after = replace(after, version=self.versions)
        self.models[id_] = after
        self.default = id_ if default else self.default

    @rule(id_=IDS, beats=BEATS)
    def run_beats(self, id_: str, beats: list[BeatArguments]) -> None:
        for arguments in beats if id_ in self.models else []:
            self.start_beat(id_, *arguments)
            self.finish_beat(self.started.pop())

    @rule(id_=IDS, beats=BEATS)
    def start_beats(self, id_: str, beats: list[BeatArguments]) -> None:
        for arguments in beats if id_ in self.models else []:
            self.start_beat(id_, *arguments)

    @precondition(lambda self: self.started)
    @rule(order=st.randoms(use_true_random=False), again=st.booleans())
    def finish_beats(self, order: Random, again: bool) -> None:
        beats = self.started
        order.shuffle(beats)
        self.started = [beat.run_again() for beat in beats[:1] if again]
        for beat in beats:
            self.finish_beat(beat)

    def start_beat(self, id_: str, fields: Fields, offset: int, slot: int | None) -> None:
        tick = None if slot is None else format_timestamp(BEGIN + timedelta(seconds=30 * slot))
        outcome = Outcome(self.now() + timedelta(seconds=offset), slot=tick, **fields)
        self.read_providers[id_] = self.store.get(id_)
        self.started.append(StartedBeat(self.read_providers[id_], self.models[id_].version, outcome))

    def finish_beat(self, beat: StartedBeat) -> None:
        self.beat.outcome = beat.outcome
        self.ticker.beat_one(beat.provider)
        model = self.models.get(beat.provider.id)
        if model is not None and model.version == beat.version and model.accepts(beat.outcome):
            self.record(beat.provider.id, model, beat.outcome)

    def record(self, id_: str, model: ProviderModel, outcome: Outcome) -> None:
        before = model.health.status
        model.record(outcome)
        if model.health.status != before:
            self.status_changes.append((id_, before, model.health.status))
        self.history.add((id_, format_timestamp(outcome.started_at), outcome.error is None))

    @invariant()
    def providers_match_the_model(self) -> None:
        providers = self.store.all()
        expected = {id_: model.expected_state(id_) for id_, model in self.models.items()}
        assert {provider.id: observed_state(provider) for provider in providers} == expected
        assert [provider.id for provider in providers if provider.default] == ([self.default] if self.default else [])
        items = self.read_items(self.providers_table)
        registry = next((item for item in items if item["id"] == REGISTRY), {})
        assert (registry.get("default_id"), registry.get("providers", 0)) == (self.default, len(self.models))

    @invariant()
    def history_and_events_match_the_model(self) -> None:
        """Each recorded heartbeat is in the history, and each change of status was published once."""
        published = [(event["id"], event["old_status"], event["new_status"]) for event in self.events.accepted]
        assert published == self.status_changes
        items = self.read_items(self.heartbeats_table)
        assert {(item["provider_id"], item["at"], item["good"]) for item in items} == self.history


def _body(fields: Fields, key: str | None, default: bool | None) -> dict[str, Any]:
    optional = {"api_key": key, "default": default}
    return fields | {name: value for name, value in optional.items() if value is not None}


def assert_raises(error: type[GatewayError], call: Operation) -> None:
    with pytest.raises(error):
        call()
