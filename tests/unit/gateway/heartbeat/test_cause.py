"""A known cause of a failure stays while later heartbeats hide it."""

from dataclasses import replace
from datetime import datetime

import pytest

from gateway.core.errors import FirstByteTimeout, GatewayError
from gateway.heartbeat.cause import hiding_message, is_same_cause
from gateway.heartbeat.check import MAX_TEXT_CHARACTERS, HeartbeatCheck
from gateway.heartbeat.health import Outcome, next_health
from gateway.heartbeat.ticker import Ticker
from gateway.proxy.upstream import Target
from gateway.proxy.upstream_errors import upstream_error
from gateway.registry.provider import Health, Provider
from tests.rehearsal import KEY, RunningTokenHub
from tests.unit.gateway.builders import after, an_outcome
from tests.unit.gateway.ticking import LOGGER, System, now, target_for

NO_MODELS = "no eligible models registered"
CAUSE = "HTTP 502: invalid api key. Correct it in TokenHub."
HIDDEN = f"HTTP 502: {NO_MODELS}. See `tokenhubctl health`."


def cause(seconds: float, error: str = CAUSE) -> Outcome:
    return an_outcome(seconds, error=error)


def hidden(seconds: float) -> Outcome:
    return an_outcome(seconds, error=HIDDEN, hiding_message=NO_MODELS)


def errors_of(*outcomes: Outcome) -> list[str | None]:
    """Returns the error that a provider shows after each of these heartbeats."""
    health, errors = Health("healthy"), []
    for outcome in outcomes:
        health = next_health(health, outcome)
        errors.append(health.last_heartbeat_error)
    return errors


def known(error: str, since: str) -> str:
    return f"{error} (since {since}; TokenHub now reports: {NO_MODELS})"


def test_keeps_a_known_cause_while_tokenhub_hides_it() -> None:
    shown = errors_of(cause(0), hidden(30), hidden(60), cause(90), hidden(120))

    still_known = known(CAUSE, "2026-01-02T03:04:05Z")
    assert shown == [CAUSE, still_known, still_known, CAUSE, still_known]


def test_a_new_cause_replaces_the_known_one() -> None:
    assert errors_of(cause(0), hidden(30), cause(60, "timeout"), hidden(90)) == [
        CAUSE,
        known(CAUSE, "2026-01-02T03:04:05Z"),
        "timeout",
        known("timeout", "2026-01-02T03:05:05Z"),
    ]


def test_the_id_of_a_request_makes_no_new_cause() -> None:
    first, second = (f"{CAUSE} (request req_011CV{number}abc)" for number in (1, 2))

    assert errors_of(cause(0, first), cause(30, second), hidden(60))[-1] == known(second, "2026-01-02T03:04:05Z")
    assert not is_same_cause("API error (status 401): no", "API error (status 429): no")


def test_shows_a_hiding_error_until_a_cause_is_known() -> None:
    assert errors_of(hidden(0), hidden(30), cause(60), hidden(90)) == [
        HIDDEN,
        HIDDEN,
        CAUSE,
        known(CAUSE, "2026-01-02T03:05:05Z"),
    ]


def test_a_good_heartbeat_forgets_the_cause() -> None:
    assert errors_of(cause(0), an_outcome(30), hidden(60)) == [CAUSE, None, HIDDEN]


def test_a_changed_registration_forgets_the_cause() -> None:
    failed = next_health(Health("healthy"), cause(0))
    assert next_health(replace(failed, status="pending"), hidden(30)).last_heartbeat_error == HIDDEN


def test_the_error_with_the_known_cause_is_bounded() -> None:
    shown = errors_of(cause(0, "x" * MAX_TEXT_CHARACTERS), *(hidden(30 * number) for number in range(1, 50)))
    assert len(shown[-1] or "") < MAX_TEXT_CHARACTERS + 120


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (upstream_error(502, b'{"error": {"message": "no eligible models registered"}}'), NO_MODELS),
        (upstream_error(502, b'{"error": {"message": "No eligible models."}}'), "No eligible models"),
        (upstream_error(502, b'{"error": {"message": "all providers failed"}}'), "all providers failed"),
        (
            upstream_error(502, b'{"error": {"message": "all providers failed for streaming: %!w(<nil>)"}}'),
            "all providers failed for streaming: %!w(<nil>)",
        ),
        (upstream_error(502, b'{"error": {"message": "all providers failed for streaming: API error (401)"}}'), None),
        (upstream_error(502, b'{"error": {"message": "all providers failed: no credit"}}'), None),
        (upstream_error(401, b"no eligible models"), None),
        (upstream_error(500, b""), None),
        (FirstByteTimeout("no eligible models"), None),
    ],
)
def test_recognises_errors_that_hide_the_cause(error: GatewayError, expected: str | None) -> None:
    assert hiding_message(error) == expected


def target_with_key(provider: Provider) -> Target:
    return replace(target_for(provider), key=KEY)


class HalfMinutes:
    """A clock that advances by 30 s with each call. A heartbeat reads it once."""

    def __init__(self) -> None:
        self.calls = -1

    def __call__(self) -> datetime:
        self.calls += 1
        return after(30 * self.calls)


def test_shows_the_cause_at_every_beat_of_a_cooldown_and_stores_each_beats_own_error(
    system: System, tokenhub: RunningTokenHub
) -> None:
    system.add("main", endpoint=f"{tokenhub.url}/v1", health=Health("healthy"))
    check = HeartbeatCheck(system.upstream, target_with_key, now=HalfMinutes(), logger=LOGGER, seconds=30)
    ticker = Ticker(system.providers, check, system.side_effects(), now=now)
    shown = []
    for number in range(10):
        tokenhub.rehearse("no_models" if number % 2 else "all_failed")
        ticker.beat_one(system.providers.get("main"))
        shown.append(system.providers.get("main").health.last_heartbeat_error or "")

    own = [item["error"] for item in sorted(system.history, key=lambda item: item["at"])]
    assert all("Incorrect API key provided" in error for error in shown)
    assert shown[1::2] == [f"{shown[0]} (since 2026-01-02T03:04:05Z; TokenHub now reports: {NO_MODELS})"] * 5
    assert own[0::2] == [shown[0]] * 5
    assert all(error.startswith(f"HTTP 502: {NO_MODELS}. ") for error in own[1::2])
    assert system.changes == [("main", "healthy", "failed")]
