"""A muted provider: its failures raise no alarm until the mute is over."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.core.telemetry import make_logger
from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.reporting import Reporter
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.heartbeat.ticker import Ticker, TickResult
from gateway.registry.provider import Health, format_timestamp
from tests.scripted_server import always
from tests.unit.gateway.builders import AT, after, an_outcome
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.ticking import BAD, LOGGER, ScriptedCheck, System, target_for


def tick(system: System, time: datetime) -> TickResult:
    """Runs a real heartbeat of each provider at this time."""
    check = HeartbeatCheck(system.upstream, target_for, now=lambda: time, logger=LOGGER, seconds=30)
    return Ticker(system.providers, check, system.side_effects(), now=lambda: time).tick(format_timestamp(time))


def set_mute(system: System, until: datetime | None) -> None:
    """Writes what a PATCH of `muted_until` writes."""
    before = system.providers.get("main")
    system.providers.update(before, replace(before, muted_until=until, revision=str(until)), reset_health=False)


def metrics(system: System, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Returns the metrics of each heartbeat."""
    capsys.readouterr()
    for beat in system.notified:
        Reporter("Ours", make_logger("muting", "ERROR")).report_beat(beat)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def failing(system: System, serve: Serve) -> System:
    """A system whose provider fails at each heartbeat, and is muted for a minute."""
    system.add("main", endpoint=serve(always(BAD)).url, muted_until=after(60))
    return system


def test_a_muted_failure_rings_when_the_mute_is_over(failing: System, capsys: pytest.CaptureFixture[str]) -> None:
    results = [tick(failing, after(seconds)) for seconds in (0, 30, 60, 90)]

    lines = metrics(failing, capsys)
    assert [line["HeartbeatFailures"] for line in lines] == [[0.0], [0.0], [1.0], [1.0]]
    assert [line.get("HeartbeatFailuresMuted") for line in lines] == [[1.0], [1.0], None, None]
    assert [result.failed for result in results] == [0, 0, 1, 1]
    assert failing.status() == "failed"


def test_events_say_whether_the_failure_was_planned(failing: System) -> None:
    for seconds in (0, 30, 60, 90):
        tick(failing, after(seconds))

    events = [(event["old_status"], event["new_status"], event["planned"]) for event in failing.events.accepted]
    assert events == [("pending", "failed", True), ("failed", "failed", False)]


def test_a_mute_that_is_ended_early_rings_at_the_next_heartbeat(failing: System) -> None:
    tick(failing, AT)
    set_mute(failing, None)

    assert tick(failing, after(30)).failed == 1
    assert [event["planned"] for event in failing.events.accepted] == [True, False]


def test_a_provider_that_recovers_while_it_is_muted_never_rings(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    system.add("main", health=Health("healthy"))
    outcomes = [an_outcome(0, error="no", planned=True), an_outcome(30, planned=True), an_outcome(60)]

    results = [system.ticker(ScriptedCheck(outcome)).tick(format_timestamp(outcome.started_at)) for outcome in outcomes]

    lines = metrics(system, capsys)
    assert [line["HeartbeatFailures"] for line in lines] == [[0.0]] * 3
    assert [line.get("HeartbeatFailuresMuted") for line in lines] == [[1.0], [0.0], None]
    assert [result.failed for result in results][1:] == [0, 0]
    assert [event["planned"] for event in system.events.accepted] == [True, True]


@pytest.mark.parametrize("rolled_up", [False, True])
def test_an_incident_that_began_while_muted_stays_planned(failing: System, rolled_up: bool) -> None:
    end = after(90)
    for seconds in (0, 30, 60):
        tick(failing, after(seconds))
    provider = failing.providers.get("main")
    if rolled_up:
        assert failing.roll_ups(lambda: end).run([provider], end, end + timedelta(minutes=1)) == []

    [incident] = RollUpStore(failing.aws.roll_ups).incidents(provider, limit=9, before=None, now=end).items

    assert (incident.begin, incident.end, incident.planned) == (AT, None, True)


def test_a_failure_before_the_mute_is_not_planned(system: System, serve: Serve) -> None:
    system.add("main", endpoint=serve(always(BAD)).url)
    tick(system, AT)
    set_mute(system, after(60))
    assert tick(system, after(30)).failed == 0

    provider = system.providers.get("main")
    assert (provider.health.failure_planned, provider.health.last_heartbeat_muted) == (False, True)
    [incident] = RollUpStore(system.aws.roll_ups).incidents(provider, limit=9, before=None, now=after(31)).items
    assert not incident.planned


def test_a_changed_registration_forgets_that_the_failure_was_planned(failing: System) -> None:
    tick(failing, AT)
    before = failing.providers.get("main")
    failing.providers.update(before, replace(before, version="v2", revision="r2"), reset_health=True)

    assert (before.health.failure_planned, failing.providers.get("main").health.failure_planned) == (True, False)
