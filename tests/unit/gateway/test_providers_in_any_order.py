from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.errors import DefaultProviderNeeded, GatewayError, ProviderNotFound
from gateway.health import next_health
from gateway.keys import KeyCipher
from gateway.providers import REGISTRY, Providers
from gateway.records import Provider
from gateway.registry import Registry
from tests.conftest import Aws
from tests.unit.gateway.builders import Clock, an_outcome, wanted
from tests.unit.gateway.conftest import PUBLIC

IDS = st.sampled_from(["a", "b", "c"])


class RegistryMachine(RuleBasedStateMachine):
    """What may be done to a registry, in any order, beside a model of it that fits on a page."""

    def __init__(self, aws: Aws) -> None:
        super().__init__()
        for item in aws.providers.scan()["Items"]:
            aws.providers.delete_item(Key={"id": item["id"]})
        self.aws = aws
        self.providers = Providers(aws.providers)
        self.clock = Clock()
        cipher = KeyCipher(aws.kms, aws.key_arn)
        self.registry = Registry(self.providers, cipher, clock=self.clock, reach=PUBLIC)
        self.default: str | None = None
        self.status: dict[str, str] = {}
        self.checked: dict[str, tuple[str, str | None]] = {}
        self.seen: dict[str, Provider] = {}

    @rule(id_=IDS, default=st.sampled_from([None, None, True, False]), model=st.sampled_from([None, "x"]))
    def register(self, id_: str, default: bool | None, model: str | None) -> None:
        def call() -> object:
            return self.registry.register(wanted(id=id_, default=default, model=model))

        if id_ == self.default and default is False:
            refused_with(DefaultProviderNeeded, call)
            return
        call()
        if self.checked.get(id_) != (id_, model):
            self.status[id_] = "pending"
        self.checked[id_] = (id_, model)
        if default or self.default is None:
            self.default = id_

    @rule(id_=IDS)
    def delete(self, id_: str) -> None:
        if id_ not in self.status:
            refused_with(ProviderNotFound, lambda: self.providers.delete(id_))
        elif id_ == self.default and len(self.status) > 1:
            refused_with(DefaultProviderNeeded, lambda: self.providers.delete(id_))
        else:
            self.providers.delete(id_)
            del self.status[id_], self.checked[id_]
            self.default = None if id_ == self.default else self.default

    @rule(id_=IDS)
    def read(self, id_: str) -> None:
        if id_ in self.status:
            self.seen[id_] = self.providers.get(id_)

    @rule(id_=IDS, error=st.sampled_from([None, "no"]))
    def beat_what_was_read(self, id_: str, error: str | None) -> None:
        read = self.seen.get(id_)
        if read is None:
            return
        now = self.providers.find(id_)
        fits = now is not None and (now.version, now.health.last_heartbeat_at) == (
            read.version,
            read.health.last_heartbeat_at,
        )
        health = next_health(read.health, replace(an_outcome(error=error), started_at=self.clock()))
        assert self.providers.record_beat(read, health) == fits
        if fits:
            self.status[id_] = health.status

    @invariant()
    def exactly_one_is_the_default(self) -> None:
        found = self.providers.all()
        assert [provider.id for provider in found if provider.default] == ([self.default] if self.default else [])
        assert self.providers.default_id() == self.default

    @invariant()
    def the_registry_is_as_the_model_says(self) -> None:
        assert {provider.id: provider.health.status for provider in self.providers.all()} == self.status

    @invariant()
    def the_counter_counts(self) -> None:
        item = self.aws.providers.get_item(Key={"id": REGISTRY}).get("Item", {})
        assert item.get("providers", 0) == len(self.status)


def refused_with(kind: type[GatewayError], call: Callable[[], object]) -> None:
    with pytest.raises(kind):
        call()


def test_whatever_is_done_to_a_registry_it_has_one_default_and_the_right_statuses(aws: Aws) -> None:
    run_state_machine_as_test(
        lambda: RegistryMachine(aws),  # type: ignore[arg-type]  # it may be any factory
        settings=settings(max_examples=10, stateful_step_count=12, deadline=None),
    )
