from dataclasses import replace
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from gateway.heartbeat.health import Outcome, is_newer_beat, is_stream_due, next_health
from gateway.registry.provider import Health, format_timestamp
from tests.unit.gateway.builders import AT, BRIEFLY, after, an_outcome

# After all heartbeats of these tests.
LATER = after(24 * 3600)
OUTCOMES = st.lists(
    st.builds(
        lambda seconds, error, slot, model, tokens, stream: an_outcome(
            seconds, error=error, slot=slot, model=None if error else model, tokens=tokens, **stream
        ),
        st.integers(0, 20),
        st.sampled_from([None, None, "no"]),
        st.none() | st.integers(0, 5).map(lambda tick: format_timestamp(after(tick * 30))),
        st.none() | st.sampled_from(["echo", "gpt-4o"]),
        st.none() | st.integers(0, 600),
        st.fixed_dictionaries({"stream": st.booleans(), "ttft_ms": st.none() | st.integers(1, 9)}),
    ),
    max_size=20,
)


def record(outcomes: list[Outcome]) -> tuple[Health, list[Outcome]]:
    """Returns the health after these beats, and the beats that were recorded."""
    health, recorded = Health(), []
    for outcome in outcomes:
        if is_newer_beat(health, outcome, now=LATER):
            health = next_health(health, outcome)
            recorded.append(outcome)
    return health, recorded


@BRIEFLY
@given(OUTCOMES)
def test_status_follows_the_newest_beat(outcomes: list[Outcome]) -> None:
    health, recorded = record(outcomes)
    if not recorded:
        assert health == Health()
        return
    last = recorded[-1]
    assert health.status == ("failed" if last.error else "healthy")
    assert (health.last_heartbeat_error, health.last_heartbeat_at) == (last.error, last.started_at)


@BRIEFLY
@given(OUTCOMES)
def test_recorded_beats_are_ever_newer(outcomes: list[Outcome]) -> None:
    _, recorded = record(outcomes)
    starts = [outcome.started_at for outcome in recorded]
    assert starts == sorted(set(starts))


@BRIEFLY
@given(OUTCOMES)
def test_a_slot_is_recorded_once_and_in_order(outcomes: list[Outcome]) -> None:
    _, recorded = record(outcomes)
    slots = [outcome.slot for outcome in recorded if outcome.slot is not None]
    assert slots == sorted(set(slots))


@BRIEFLY
@given(OUTCOMES)
def test_counts_failures_since_the_last_success(outcomes: list[Outcome]) -> None:
    health, recorded = record(outcomes)
    assert health.consecutive_failures == len(list(takewhile(lambda outcome: outcome.error, reversed(recorded))))


@BRIEFLY
@given(OUTCOMES)
def test_status_changed_at_is_the_first_beat_of_the_current_status(outcomes: list[Outcome]) -> None:
    health, recorded = record(outcomes)
    same = list(takewhile(lambda outcome: bool(outcome.error) == (health.status == "failed"), reversed(recorded)))
    assert health.status_changed_at == (same[-1].started_at if same else None)


@BRIEFLY
@given(OUTCOMES)
def test_a_recorded_beat_is_never_recorded_again(outcomes: list[Outcome]) -> None:
    health, recorded = record(outcomes)
    assert not any(is_newer_beat(health, outcome, now=LATER) for outcome in recorded)


def test_one_beat_changes_the_status() -> None:
    failed = next_health(Health("healthy"), an_outcome(1, error="no"))
    assert (failed.status, failed.last_heartbeat_error, failed.status_changed_at) == ("failed", "no", after(1))
    healed = next_health(failed, an_outcome(2))
    assert (healed.status, healed.last_heartbeat_error, healed.status_changed_at) == ("healthy", None, after(2))


def test_same_result_keeps_status_changed_at() -> None:
    first = next_health(Health(), an_outcome(1))
    assert next_health(first, an_outcome(2)).status_changed_at == after(1)


def test_a_failure_keeps_the_known_ttft_and_model() -> None:
    before = Health("healthy", AT, last_heartbeat_ttft_ms=7, last_heartbeat_model="echo", last_heartbeat_slot="s")
    health = next_health(before, an_outcome(1, error="no"))
    assert (health.last_heartbeat_ttft_ms, health.last_heartbeat_model) == (7, "echo")
    assert health.last_heartbeat_slot == "s"


@BRIEFLY
@given(OUTCOMES)
def test_model_is_the_last_known_one(outcomes: list[Outcome]) -> None:
    health, recorded = record(outcomes)
    named = [outcome.model for outcome in recorded if outcome.model is not None]
    assert health.last_heartbeat_model == (named[-1] if named else None)


@BRIEFLY
@given(OUTCOMES)
def test_ttft_is_that_of_the_last_stream(outcomes: list[Outcome]) -> None:
    health, recorded = record(outcomes)
    streams = [outcome.ttft_ms for outcome in recorded if outcome.stream]
    assert health.last_heartbeat_ttft_ms == (streams[-1] if streams else None)


def test_a_stream_without_data_clears_the_ttft() -> None:
    before = Health("healthy", AT, last_heartbeat_ttft_ms=7)
    assert next_health(before, an_outcome(1, error="no", stream=True)).last_heartbeat_ttft_ms is None
    assert next_health(before, an_outcome(1, error="no", stream=True, ttft_ms=9)).last_heartbeat_ttft_ms == 9


def test_a_good_beat_without_a_model_keeps_the_known_one() -> None:
    before = Health("healthy", AT, last_heartbeat_model="echo")
    assert next_health(before, an_outcome(1)).last_heartbeat_model == "echo"


def test_a_beat_without_a_slot_must_be_newer() -> None:
    before = replace(Health(), last_heartbeat_at=AT, last_heartbeat_slot=format_timestamp(AT))
    assert is_newer_beat(before, an_outcome(1), now=LATER)
    assert not is_newer_beat(before, an_outcome(0), now=LATER)
    assert not is_newer_beat(before, an_outcome(-1), now=LATER)


def test_a_last_heartbeat_in_the_future_does_not_count() -> None:
    before = Health(last_heartbeat_at=after(3600), last_heartbeat_slot=format_timestamp(after(3600)))
    slot = format_timestamp(AT)
    assert is_newer_beat(before, an_outcome(0), now=after(1))
    assert is_newer_beat(before, an_outcome(0, slot=slot), now=after(1))
    assert not is_newer_beat(before, an_outcome(0), now=after(3600))
    assert not is_newer_beat(before, an_outcome(3700, slot=slot), now=after(3600))


def test_clocks_that_differ_a_little_do_not_record_a_tick_twice() -> None:
    before = Health(last_heartbeat_at=after(2), last_heartbeat_slot=format_timestamp(after(2)))
    again = an_outcome(1, slot=format_timestamp(after(2)))
    assert not is_newer_beat(before, again, now=after(1))
    assert not is_newer_beat(before, an_outcome(1), now=after(1))


@BRIEFLY
@given(OUTCOMES)
def test_sums_the_tokens_of_a_day(outcomes: list[Outcome]) -> None:
    health, recorded = record(outcomes)
    assert health.heartbeat_tokens == sum(outcome.tokens or 0 for outcome in recorded)


def test_a_new_day_resets_the_tokens() -> None:
    first = next_health(Health(), an_outcome(0, tokens=500))
    late = next_health(first, an_outcome(20 * 3600, tokens=7))
    assert (first.heartbeat_tokens, first.heartbeat_tokens_day) == (500, "2026-01-02")
    assert next_health(first, an_outcome(60)).heartbeat_tokens == 500
    assert (late.heartbeat_tokens, late.heartbeat_tokens_day) == (507, "2026-01-02")
    assert next_health(late, an_outcome(21 * 3600, tokens=9)).heartbeat_tokens == 9


@BRIEFLY
@given(OUTCOMES)
def test_counts_beats_since_the_last_stream(outcomes: list[Outcome]) -> None:
    health, recorded = record(outcomes)
    since = len(list(takewhile(lambda outcome: not outcome.stream, reversed(recorded))))
    assert health.beats_since_stream == since


def test_a_stream_is_due_at_registration_and_after_19_other_beats() -> None:
    assert is_stream_due(Health("pending", beats_since_stream=3))
    due = [is_stream_due(Health("healthy", beats_since_stream=number)) for number in (0, 18, 19, 25)]
    assert due == [False, False, True, True]


def test_after_a_failure_the_kind_of_beat_stays_the_same() -> None:
    due = [is_stream_due(Health("failed", beats_since_stream=number)) for number in (0, 1, 19, 25)]
    assert due == [True, False, False, False]
