"""Outages of TokenHub over ten heartbeats each: `last_heartbeat_error` names the cause at every one."""

from dataclasses import replace
from datetime import datetime

import pytest

from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.ticker import Ticker
from gateway.proxy.upstream import Target
from gateway.registry.provider import Health, Provider
from tests.rehearsal import KEY, RunningTokenHub
from tests.unit.gateway.builders import after
from tests.unit.gateway.ticking import LOGGER, System, now, target_for, timed_out

BEATS = 10
DEAD_KEY = "Incorrect API key provided"
# Outage → the rehearsal's mode at each heartbeat, and the error that each heartbeat shows in part (None: healthy).
OUTAGES: dict[str, tuple[list[str], list[str | None]]] = {
    "dead model key": (["all_failed"] * 5 + ["no_models", "all_failed"] * 2 + ["no_models"], [DEAD_KEY] * BEATS),
    "cooldown": (["no_models"] * 3 + ["normal"] * 7, ["no eligible models registered"] * 3 + [None] * 7),
    "locked vault": (["all_failed"] * 7 + ["normal"] * 3, ["tokenhubctl vault unlock"] * 7 + [None] * 3),
    "scope missing, then added": (["no_scope"] * 6 + ["normal"] * 4, ["lacks the scope chat"] * 6 + [None] * 4),
    "budget spent, then raised": (["budget"] * 6 + ["normal"] * 4, ["budget_usd 10, spent_usd 10.42"] * 6 + [None] * 4),
    "hang": (["hang"] * 2 + ["normal"] * 8, ["The model or TokenHub hangs or is overloaded"] * 2 + [None] * 8),
    "substituted model": (["other_model"] * BEATS, [None] * BEATS),
}


class HalfMinutes:
    """A clock that advances by 30 s with each call. A heartbeat reads it once."""

    def __init__(self) -> None:
        self.calls = -1

    def __call__(self) -> datetime:
        self.calls += 1
        return after(30 * self.calls)


def target_with_key(provider: Provider) -> Target:
    return replace(target_for(provider), key=KEY)


@pytest.mark.parametrize("outage", OUTAGES)
def test_shows_the_cause_at_each_of_ten_heartbeats(system: System, tokenhub: RunningTokenHub, outage: str) -> None:
    modes, expected = OUTAGES[outage]
    system.add("main", endpoint=f"{tokenhub.url}/v1", model="echo", health=Health("healthy"))
    clock = HalfMinutes()

    def beat(seconds: float) -> Health:
        check = HeartbeatCheck(system.upstream, target_with_key, now=clock, logger=LOGGER, seconds=seconds)
        ticker = Ticker(system.providers, check, system.side_effects(), now=now)
        ticker.beat_one(system.providers.get("main"))
        return system.providers.get("main").health

    shown = []
    for mode in modes:
        tokenhub.rehearse(mode)
        shown.append(timed_out(lambda: beat(2), 2) if mode == "hang" else beat(30))

    assert len(modes) == len(expected) == BEATS
    for health, error in zip(shown, expected, strict=True):
        assert health.status == ("healthy" if error is None else "failed")
        assert (error or "") in (health.last_heartbeat_error or "")
    is_substituted = outage == "substituted model"
    assert [health.last_heartbeat_warning is not None for health in shown] == [is_substituted] * BEATS
