"""A substituted model is a warning. The provider stays healthy."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.events import publish
from gateway.heartbeat.health import next_health
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, Provider
from tests.rehearsal import KEY, RunningTokenHub
from tests.unit.gateway.builders import AT, a_provider, an_outcome
from tests.unit.gateway.ticking import LOGGER, NEXT_SLOT, SLOT, ScriptedCheck, System, changed_beats, target_for

WARNING = (
    "TokenHub answered with the model gpt-4o-mini instead of echo. "
    "Check that the model is registered and enabled in TokenHub."
)


def run(upstream: Upstream, tokenhub: RunningTokenHub, model: str | None, *, stream: bool = False) -> str | None:
    def target_with_key(provider: Provider) -> Target:
        return replace(target_for(provider), key=KEY)

    provider = a_provider(endpoint=f"{tokenhub.url}/v1", model=model, health=Health("pending" if stream else "healthy"))
    check = HeartbeatCheck(upstream, target_with_key, now=lambda: AT, logger=LOGGER, seconds=30)
    outcome = check.run(provider, slot=None)
    assert outcome.error is None
    return outcome.warning


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_warns_if_another_model_answers(patient_upstream: Upstream, tokenhub: RunningTokenHub, stream: bool) -> None:
    tokenhub.rehearse("other_model")
    assert run(patient_upstream, tokenhub, "echo", stream=stream) == WARNING


@pytest.mark.parametrize("model", ["echo", "rehearsal/echo", "openai/gpt-4o", "fast", "*", None])
def test_an_alias_or_a_prefix_is_no_substitution(
    patient_upstream: Upstream, tokenhub: RunningTokenHub, model: str | None
) -> None:
    assert run(patient_upstream, tokenhub, model) is None


def test_keeps_the_warning_until_a_good_heartbeat_without_it() -> None:
    health = next_health(Health("healthy"), an_outcome(1, warning=WARNING))
    failed = next_health(health, an_outcome(2, error="no"))

    assert (health.status, health.last_heartbeat_warning) == ("healthy", WARNING)
    assert (failed.status, failed.last_heartbeat_warning) == ("failed", WARNING)
    assert next_health(failed, an_outcome(3)).last_heartbeat_warning is None


def test_a_changed_registration_clears_the_warning(system: System) -> None:
    system.add("main", health=Health("healthy", last_heartbeat_warning=WARNING))
    before = system.providers.get("main")
    system.providers.update(before, replace(before, version="v2", revision="r2"), reset_health=True)

    assert system.providers.get("main").health.last_heartbeat_warning is None


def test_publishes_and_counts_a_substitution_when_it_begins_and_ends(system: System) -> None:
    system.add("main", health=Health("healthy"))
    results = [
        system.ticker(ScriptedCheck(an_outcome(seconds, warning=warning))).tick(slot)
        for seconds, warning, slot in [(1, WARNING, SLOT), (31, WARNING, NEXT_SLOT), (61, None, "2026-01-02T03:05:00Z")]
    ]

    assert [result.substituted for result in results] == [1, 1, 0]
    assert [(event["status"], event["warning"]) for event in system.events.accepted] == [
        ("healthy", WARNING),
        ("healthy", None),
    ]


class Bus:
    """An EventBridge that keeps the entries of each call."""

    def __init__(self) -> None:
        self.calls: list[list[dict[str, Any]]] = []

    def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 -- boto3's name
        self.calls.append(Entries)
        return {"Entries": [{} for _ in Entries]}


def test_a_first_heartbeat_may_publish_two_events_and_a_call_has_ten_at_most() -> None:
    beats = [replace(beat, after=replace(beat.after, last_heartbeat_warning=WARNING)) for beat in changed_beats(10)]
    bus = Bus()

    assert publish(cast("Any", bus), beats) == []

    assert [len(entries) for entries in bus.calls] == [10, 10]
    types = {entry["DetailType"] for entries in bus.calls for entry in entries}
    assert types == {"Provider Health Changed", "Provider Warning Changed"}
    assert json.loads(bus.calls[0][1]["Detail"]) == {
        "id": "p0",
        "name": "main",
        "status": "failed",
        "warning": WARNING,
        "last_heartbeat_at": "2026-01-02T03:04:06.678901Z",
        "planned": False,
    }
