"""Scheduled heartbeats, an outage and the recovery. Takes minutes of real time."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.local_system import LocalSystem
from tests.rehearsal import KEY, RunningTokenHub
from tools.local import aws

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FIRST_TICK_S = 75
HEARTBEAT_INTERVAL_S = 30
DOWN_S = 120
STALE_S = 90


@pytest.fixture(scope="module")
def tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as running:
        yield running


@pytest.fixture(scope="module")
def system(tokenhub: RunningTokenHub) -> Iterator[LocalSystem]:
    with LocalSystem(environ={"TOKENHUB": "off"}) as running:
        provider = {"id": "tokenhub", "endpoint": f"{tokenhub.url}/v1", "api_key": KEY}
        httpx.post(f"{running.url}/api/v1/providers", json=provider, timeout=30, trust_env=False).raise_for_status()
        seconds_until(lambda: listed_provider(running)["status"] == "healthy", 20)
        yield running


def listed_provider(system: LocalSystem) -> dict[str, Any]:
    [provider] = httpx.get(f"{system.url}/api/v1/providers", timeout=30, trust_env=False).json()
    return dict(provider)


def heartbeat_starts(system: LocalSystem) -> list[datetime]:
    """Returns the start of each heartbeat in the history table, oldest first."""
    dynamodb = aws.client("dynamodb", system.aws_url)
    [table] = [name for name in dynamodb.list_tables()["TableNames"] if "HeartbeatsTable" in name]
    return sorted(datetime.fromisoformat(item["at"]["S"]) for item in dynamodb.scan(TableName=table)["Items"])


def history(system: LocalSystem) -> dict[str, Any]:
    url = f"{system.url}/api/v1/providers/tokenhub/heartbeats"
    return dict(httpx.get(url, params={"limit": 500}, timeout=30, trust_env=False).json())


def history_and_heartbeat_starts(system: LocalSystem) -> tuple[dict[str, Any], list[datetime]]:
    """Returns both as they were at one time. A heartbeat may come between the two requests."""
    stored, past = heartbeat_starts(system), history(system)
    while (now_stored := heartbeat_starts(system)) != stored:
        stored, past = now_stored, history(system)
    return past, stored


def seconds_until(condition: Callable[[], object], limit: float) -> float:
    """Waits for the condition and returns the time that this took. Fails after `limit` seconds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit
        time.sleep(0.5)
    return time.monotonic() - started


def test_beats_every_30_seconds_while_tokenhub_hangs(system: LocalSystem, tokenhub: RunningTokenHub) -> None:
    # The registration started the first heartbeat, the schedule starts the second.
    seconds_until(lambda: len(heartbeat_starts(system)) >= 2, FIRST_TICK_S)
    seconds_until(lambda: len(heartbeat_starts(system)) >= 5, 4 * HEARTBEAT_INTERVAL_S)
    tokenhub.rehearse("hang")
    seconds_until(lambda: len(heartbeat_starts(system)) >= 8, 4 * HEARTBEAT_INTERVAL_S)
    assert listed_provider(system)["status"] == "failed"
    assert "did not answer within 20 s" in listed_provider(system)["last_heartbeat_error"]
    tokenhub.reset()
    seconds_until(lambda: len(heartbeat_starts(system)) >= 11, 4 * HEARTBEAT_INTERVAL_S)

    scheduled = heartbeat_starts(system)[1:]
    print("\n".join(beat.isoformat() for beat in scheduled))
    gaps = [(after - before).total_seconds() for before, after in pairwise(scheduled)]
    assert len(scheduled) >= 10
    assert all(gap == pytest.approx(HEARTBEAT_INTERVAL_S, abs=2) for gap in gaps), gaps


def test_marks_an_outage_within_35_seconds_and_the_recovery_too(system: LocalSystem, tokenhub: RunningTokenHub) -> None:
    seconds_until(lambda: listed_provider(system)["status"] == "healthy", HEARTBEAT_INTERVAL_S + 5)

    stopped_at = datetime.now(UTC)
    tokenhub.stop()
    failed_after = seconds_until(lambda: listed_provider(system)["status"] == "failed", 35)
    error = listed_provider(system)["last_heartbeat_error"]
    time.sleep(max(0.0, DOWN_S - failed_after))
    seconds_until(
        lambda: listed_provider(system)["consecutive_failures"] >= DOWN_S // HEARTBEAT_INTERVAL_S,
        HEARTBEAT_INTERVAL_S + 5,
    )
    # A heartbeat has just ended, so no other one can change this number before the restart.
    failures = listed_provider(system)["consecutive_failures"]
    tokenhub.start()
    started_at = datetime.now(UTC)
    healthy_after = seconds_until(lambda: listed_provider(system)["status"] == "healthy", 35)

    print(f"failed after {failed_after:.1f} s: {error}; healthy after {healthy_after:.1f} s")
    assert f"{tokenhub.url}/v1 refused the connection. Check that TokenHub is running" in error
    assert listed_provider(system)["last_heartbeat_error"] is None
    past = history(system)
    down = [beat for beat in past["items"] if stopped_at < datetime.fromisoformat(beat["at"]) < started_at]
    assert (len(down), {beat["status"] for beat in down}) == (failures, {"failed"})
    assert failures == pytest.approx(DOWN_S / HEARTBEAT_INTERVAL_S, abs=1)


def test_history_and_uptime_match_every_beat(system: LocalSystem) -> None:
    past, stored = history_and_heartbeat_starts(system)
    good = [beat for beat in past["items"] if beat["status"] == "healthy"]

    assert [datetime.fromisoformat(beat["at"]) for beat in past["items"]] == stored[::-1]
    assert (past["beats_24h"], past["good_24h"], past["next"]) == (len(stored), len(good), None)
    assert past["uptime_24h"] == pytest.approx(len(good) / len(stored), abs=1e-9)


def test_beats_come_from_the_scheduled_workflow(system: LocalSystem) -> None:
    states, events = aws.client("stepfunctions", system.aws_url), aws.client("events", system.aws_url)
    [machine] = states.list_state_machines()["stateMachines"]
    executions = states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    starts = sorted(execution["startDate"] for execution in executions)
    [rule] = events.list_rules()["Rules"]

    for beat in heartbeat_starts(system)[2:]:
        offset = min(
            abs((beat - start).total_seconds() - wait) for start in starts for wait in (0, HEARTBEAT_INTERVAL_S)
        )
        assert offset < 5, f"no execution started the heartbeat of {beat}"

    events.disable_rule(Name=rule["Name"])
    # An execution that already runs still starts its second heartbeat.
    time.sleep(2 * HEARTBEAT_INTERVAL_S + 5)
    counted, last = len(heartbeat_starts(system)), heartbeat_starts(system)[-1]
    assert not listed_provider(system)["stale"]
    seconds_until(lambda: listed_provider(system)["stale"], STALE_S)
    assert (datetime.now(UTC) - last).total_seconds() == pytest.approx(STALE_S, abs=2)
    assert (len(heartbeat_starts(system)), listed_provider(system)["status"]) == (counted, "healthy")
