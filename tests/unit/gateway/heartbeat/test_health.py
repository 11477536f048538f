from dataclasses import replace
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from gateway.heartbeat.health import Outcome, counts, next_health, stream_is_due
from gateway.registry.provider import Health, format_timestamp
from tests.unit.gateway.builders import AT, BRIEFLY, after, an_outcome

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


def live(outcomes: list[Outcome]) -> tuple[Health, list[Outcome]]:
    """The health after these beats, and those that counted."""
    health, counted = Health(), []
    for outcome in outcomes:
        if counts(health, outcome):
            health = next_health(health, outcome)
            counted.append(outcome)
    return health, counted


@BRIEFLY
@given(OUTCOMES)
def test_the_status_is_that_of_the_newest_beat(outcomes: list[Outcome]) -> None:
    health, counted = live(outcomes)
    if not counted:
        assert health == Health()
        return
    last = counted[-1]
    assert health.status == ("failed" if last.error else "healthy")
    assert (health.last_heartbeat_error, health.last_heartbeat_at) == (last.error, last.started_at)


@BRIEFLY
@given(OUTCOMES)
def test_beats_that_count_are_ever_newer(outcomes: list[Outcome]) -> None:
    _, counted = live(outcomes)
    starts = [outcome.started_at for outcome in counted]
    assert starts == sorted(set(starts))


@BRIEFLY
@given(OUTCOMES)
def test_a_slot_counts_once_and_never_after_a_later_one(outcomes: list[Outcome]) -> None:
    _, counted = live(outcomes)
    slots = [outcome.slot for outcome in counted if outcome.slot is not None]
    assert slots == sorted(set(slots))


@BRIEFLY
@given(OUTCOMES)
def test_failures_are_counted_since_the_last_success(outcomes: list[Outcome]) -> None:
    health, counted = live(outcomes)
    assert health.consecutive_failures == len(list(takewhile(lambda outcome: outcome.error, reversed(counted))))


@BRIEFLY
@given(OUTCOMES)
def test_the_status_changed_when_the_run_of_beats_of_its_kind_began(outcomes: list[Outcome]) -> None:
    health, counted = live(outcomes)
    same = list(takewhile(lambda outcome: bool(outcome.error) == (health.status == "failed"), reversed(counted)))
    assert health.status_changed_at == (same[-1].started_at if same else None)


@BRIEFLY
@given(OUTCOMES)
def test_a_beat_that_counted_never_counts_again(outcomes: list[Outcome]) -> None:
    health, counted = live(outcomes)
    assert not any(counts(health, outcome) for outcome in counted)


def test_one_failure_fails_and_one_success_heals() -> None:
    failed = next_health(Health("healthy"), an_outcome(1, error="no"))
    assert (failed.status, failed.last_heartbeat_error, failed.status_changed_at) == ("failed", "no", after(1))
    healed = next_health(failed, an_outcome(2))
    assert (healed.status, healed.last_heartbeat_error, healed.status_changed_at) == ("healthy", None, after(2))


def test_a_beat_of_the_same_kind_does_not_move_the_time_of_the_change() -> None:
    first = next_health(Health(), an_outcome(1))
    assert next_health(first, an_outcome(2)).status_changed_at == after(1)


def test_the_last_known_time_to_first_token_and_model_are_kept() -> None:
    before = Health("healthy", AT, last_heartbeat_ttft_ms=7, last_heartbeat_model="echo", last_heartbeat_slot="s")
    health = next_health(before, an_outcome(1, error="no"))
    assert (health.last_heartbeat_ttft_ms, health.last_heartbeat_model) == (7, "echo")
    assert health.last_heartbeat_slot == "s"


@BRIEFLY
@given(OUTCOMES)
def test_the_model_is_the_last_that_was_told_and_unknown_only_before(outcomes: list[Outcome]) -> None:
    health, counted = live(outcomes)
    named = [outcome.model for outcome in counted if outcome.model is not None]
    assert health.last_heartbeat_model == (named[-1] if named else None)


@BRIEFLY
@given(OUTCOMES)
def test_the_time_to_the_first_token_is_that_of_the_last_beat_that_was_a_stream(outcomes: list[Outcome]) -> None:
    health, counted = live(outcomes)
    streams = [outcome.ttft_ms for outcome in counted if outcome.stream]
    assert health.last_heartbeat_ttft_ms == (streams[-1] if streams else None)


def test_a_stream_without_data_leaves_no_time_of_an_older_one() -> None:
    before = Health("healthy", AT, last_heartbeat_ttft_ms=7)
    assert next_health(before, an_outcome(1, error="no", stream=True)).last_heartbeat_ttft_ms is None
    assert next_health(before, an_outcome(1, error="no", stream=True, ttft_ms=9)).last_heartbeat_ttft_ms == 9


def test_a_good_beat_that_names_no_model_leaves_the_known_one() -> None:
    before = Health("healthy", AT, last_heartbeat_model="echo")
    assert next_health(before, an_outcome(1)).last_heartbeat_model == "echo"


def test_a_beat_without_a_slot_counts_when_it_is_newer() -> None:
    before = replace(Health(), last_heartbeat_at=AT, last_heartbeat_slot=format_timestamp(AT))
    assert counts(before, an_outcome(1))
    assert not counts(before, an_outcome(0))
    assert not counts(before, an_outcome(-1))


@BRIEFLY
@given(OUTCOMES)
def test_the_tokens_of_a_day_are_those_of_its_beats(outcomes: list[Outcome]) -> None:
    health, counted = live(outcomes)
    assert health.heartbeat_tokens == sum(outcome.tokens or 0 for outcome in counted)


def test_another_day_begins_without_tokens() -> None:
    first = next_health(Health(), an_outcome(0, tokens=500))
    late = next_health(first, an_outcome(20 * 3600, tokens=7))
    assert (first.heartbeat_tokens, first.heartbeat_tokens_day) == (500, "2026-01-02")
    assert next_health(first, an_outcome(60)).heartbeat_tokens == 500
    assert (late.heartbeat_tokens, late.heartbeat_tokens_day) == (507, "2026-01-02")
    assert next_health(late, an_outcome(21 * 3600, tokens=9)).heartbeat_tokens == 9


@BRIEFLY
@given(OUTCOMES)
def test_beats_are_counted_since_the_last_stream(outcomes: list[Outcome]) -> None:
    health, counted = live(outcomes)
    since = len(list(takewhile(lambda outcome: not outcome.stream, reversed(counted))))
    assert health.beats_since_stream == since


def test_a_stream_is_due_at_registration_and_after_19_other_beats() -> None:
    assert stream_is_due(Health("pending", beats_since_stream=3))
    due = [stream_is_due(Health("healthy", beats_since_stream=number)) for number in (0, 18, 19, 25)]
    assert due == [False, False, True, True]


def test_after_a_failure_beats_stay_of_the_kind_that_failed_so_that_nothing_flips() -> None:
    due = [stream_is_due(Health("failed", beats_since_stream=number)) for number in (0, 1, 19, 25)]
    assert due == [True, False, False, False]
