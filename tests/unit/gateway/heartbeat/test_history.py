import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.heartbeat.history import (
    Bucket,
    Latency,
    PastBeat,
    buckets_of,
    cursor_of,
    moment_of,
    page_of,
    past_beat,
    starts_of,
    uptime_of,
    width_of,
)
from tests.unit.gateway.builders import AT, BRIEFLY, after, an_outcome

HALF_HOUR = timedelta(minutes=30)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 8), timezones=st.just(UTC))  # noqa: DTZ001 -- naive
BEATS = st.lists(
    st.builds(PastBeat, MOMENTS, st.booleans(), st.integers(0, 30_000)), unique_by=lambda beat: beat.at
).map(lambda beats: sorted(beats, key=lambda beat: beat.at, reverse=True))
LIMITS = st.integers(1, 7)


def pages(beats: list[PastBeat], limit: int) -> list[list[PastBeat]]:
    """Every page, as a reader that follows `next` gets them."""
    read, older, following = [], beats, True
    while following:
        page = page_of(older, limit)
        read.append(page.items)
        following = page.next is not None
        older = [beat for beat in beats if page.next is None or beat.at < moment_of(page.next)]
    return read


@BRIEFLY
@given(BEATS, LIMITS)
def test_paging_through_any_history_shows_every_beat_once_and_in_order(beats: list[PastBeat], limit: int) -> None:
    read = pages(beats, limit)

    assert [beat for page in read for beat in page] == beats
    assert all(len(page) == limit for page in read[:-1])
    assert read[-1] or not beats, "an empty last page"


@BRIEFLY
@given(BEATS, LIMITS, st.integers(1, 24 * 60))
def test_the_buckets_of_any_history_add_up_to_its_beats(beats: list[PastBeat], limit: int, minutes: int) -> None:
    width, newest = timedelta(minutes=minutes * 10), datetime(2026, 1, 8, tzinfo=UTC)
    oldest = min((beat.at for beat in beats), default=newest)
    starts, following = [], True
    while following:
        page = starts_of(width, newest, oldest, limit)
        starts += page.items
        following = page.next is not None
        newest = newest if page.next is None else moment_of(page.next) - timedelta(microseconds=1)

    buckets = buckets_of(beats, starts, width)

    assert starts == sorted(set(starts), reverse=True)
    assert all(one - other == width for one, other in itertools.pairwise(starts)), "a gap"
    assert sum(bucket.beats for bucket in buckets) == len(beats)
    assert sum(bucket.good for bucket in buckets) == uptime_of(beats).good


def test_buckets_begin_at_whole_multiples_of_their_width() -> None:
    newest, oldest = datetime(2026, 1, 2, 3, 44, tzinfo=UTC), datetime(2026, 1, 2, 2, 59, tzinfo=UTC)

    page = starts_of(HALF_HOUR, newest, oldest, 10)

    assert [start.isoformat()[11:16] for start in page.items] == ["03:30", "03:00", "02:30"]
    assert page.next is None


def test_a_page_of_buckets_ends_where_the_next_one_begins() -> None:
    page = starts_of(HALF_HOUR, AT, AT - timedelta(hours=2), 2)

    assert page.next == cursor_of(page.items[-1])
    assert starts_of(HALF_HOUR, page.items[-1] - timedelta(microseconds=1), AT - timedelta(hours=2), 9).next is None


def test_there_is_no_bucket_before_the_oldest_beat() -> None:
    assert starts_of(HALF_HOUR, AT - timedelta(hours=3), AT, 5).items == []


def test_a_bucket_tells_the_latency_of_its_good_beats_only() -> None:
    start = datetime(2026, 1, 2, 3, tzinfo=UTC)
    beats = [PastBeat(AT, True, 10), PastBeat(AT, False, 20_000), PastBeat(AT, True, 25), PastBeat(AT, True, None)]

    assert buckets_of(beats, [start], HALF_HOUR) == [Bucket(start, beats=4, good=3, latency=Latency(10, 18, 25))]


def test_a_bucket_without_a_good_beat_has_no_latency() -> None:
    start = datetime(2026, 1, 2, 3, tzinfo=UTC)
    [failed, empty] = buckets_of([PastBeat(AT, False, 5)], [start, start - HALF_HOUR], HALF_HOUR)

    assert (failed.beats, failed.latency) == (1, None)
    assert (empty.beats, empty.good, empty.latency) == (0, 0, None)


@pytest.mark.parametrize(("verdicts", "share"), [([], None), ([True], 1), ([False] * 2, 0), ([True, False], 0.5)])
def test_uptime_is_good_beats_out_of_all(verdicts: list[bool], share: float | None) -> None:
    assert uptime_of([PastBeat(AT, good) for good in verdicts]).share == share


@BRIEFLY
@given(MOMENTS)
def test_a_cursor_is_a_moment_that_can_stand_in_a_url(at: datetime) -> None:
    assert moment_of(cursor_of(at)) == at
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor_of(at))


BAD_CURSORS = [
    "",
    "x",
    "é",
    "2026-01-02T03:04:05.678901Z",
    cursor_of(AT)[:-4],
    cursor_of(AT) + "=",
    "MjAyNi0wMS0wMlQwMzowNDowNQ==",  # a time without a zone
    cursor_of(datetime.min.replace(tzinfo=UTC)),  # nothing can lie before it
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
def test_a_malformed_cursor_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="before is not valid") as refused:
        moment_of(cursor)

    assert refused.value.param == "before"


@BRIEFLY
@given(st.text())
def test_any_text_is_a_cursor_or_is_refused(text: str) -> None:
    try:
        at = moment_of(text)
    except InvalidRequest:
        return
    assert cursor_of(at) == text


@pytest.mark.parametrize(("text", "minutes"), [("1m", 1), ("30m", 30), ("24h", 1440), ("1440m", 1440), ("7m", 7)])
def test_a_bucket_is_minutes_or_hours(text: str, minutes: int) -> None:
    assert width_of(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "text", ["", "m", "0m", "30", "30s", "1441m", "25h", "-1h", "1.5h", "30m ", "030m", "٣m", "99999m"]
)
def test_any_other_bucket_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="bucket is not valid") as refused:
        width_of(text)

    assert refused.value.param == "bucket"


def test_an_outcome_is_told_with_all_that_it_met() -> None:
    outcome = an_outcome(1, error="no", ttft_ms=3, tokens=7, model="echo", slot="s")

    assert past_beat(outcome) == PastBeat(after(1), False, 12, 3, "no", "echo", 7)
    assert past_beat(an_outcome()).good
