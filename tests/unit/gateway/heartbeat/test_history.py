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
    bucket_starts,
    count_uptime,
    decode_cursor,
    encode_cursor,
    fill_buckets,
    first_page,
    parse_bucket_width,
    to_past_beat,
)
from tests.unit.gateway.builders import AT, BRIEFLY, after, an_outcome

HALF_HOUR = timedelta(minutes=30)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 8), timezones=st.just(UTC))  # noqa: DTZ001 -- hypothesis requires naive bounds
BEATS = st.lists(
    st.builds(PastBeat, MOMENTS, st.booleans(), st.integers(0, 30_000)), unique_by=lambda beat: beat.at
).map(lambda beats: sorted(beats, key=lambda beat: beat.at, reverse=True))
LIMITS = st.integers(1, 7)


def read_pages(beats: list[PastBeat], limit: int) -> list[list[PastBeat]]:
    """Returns the pages that a client gets when it follows `next`."""
    pages, older, following = [], beats, True
    while following:
        page = first_page(older, limit)
        pages.append(page.items)
        following = page.next is not None
        older = [beat for beat in beats if page.next is None or beat.at < decode_cursor(page.next)]
    return pages


@BRIEFLY
@given(BEATS, LIMITS)
def test_pages_show_every_beat_once_and_in_order(beats: list[PastBeat], limit: int) -> None:
    read = read_pages(beats, limit)

    assert [beat for page in read for beat in page] == beats
    assert all(len(page) == limit for page in read[:-1])
    assert read[-1] or not beats, "an empty last page"


@BRIEFLY
@given(BEATS, LIMITS, st.integers(1, 24 * 60))
def test_buckets_add_up_to_all_beats(beats: list[PastBeat], limit: int, minutes: int) -> None:
    width, newest = timedelta(minutes=minutes * 10), datetime(2026, 1, 8, tzinfo=UTC)
    oldest = min((beat.at for beat in beats), default=newest)
    starts, following = [], True
    while following:
        page = bucket_starts(width, newest, oldest, limit)
        starts += page.items
        following = page.next is not None
        newest = newest if page.next is None else decode_cursor(page.next) - timedelta(microseconds=1)

    buckets = fill_buckets(beats, starts, width)

    assert starts == sorted(set(starts), reverse=True)
    assert all(one - other == width for one, other in itertools.pairwise(starts)), "a gap"
    assert sum(bucket.beats for bucket in buckets) == len(beats)
    assert sum(bucket.good for bucket in buckets) == count_uptime(beats).good


def test_buckets_start_at_multiples_of_their_width() -> None:
    newest, oldest = datetime(2026, 1, 2, 3, 44, tzinfo=UTC), datetime(2026, 1, 2, 2, 59, tzinfo=UTC)

    page = bucket_starts(HALF_HOUR, newest, oldest, 10)

    assert [start.isoformat()[11:16] for start in page.items] == ["03:30", "03:00", "02:30"]
    assert page.next is None


def test_a_page_of_buckets_ends_where_the_next_one_starts() -> None:
    page = bucket_starts(HALF_HOUR, AT, AT - timedelta(hours=2), 2)

    assert page.next == encode_cursor(page.items[-1])
    assert bucket_starts(HALF_HOUR, page.items[-1] - timedelta(microseconds=1), AT - timedelta(hours=2), 9).next is None


def test_no_bucket_precedes_the_oldest_beat() -> None:
    assert bucket_starts(HALF_HOUR, AT - timedelta(hours=3), AT, 5).items == []


def test_bucket_latency_ignores_failed_beats() -> None:
    start = datetime(2026, 1, 2, 3, tzinfo=UTC)
    beats = [PastBeat(AT, True, 10), PastBeat(AT, False, 20_000), PastBeat(AT, True, 25), PastBeat(AT, True, None)]

    assert fill_buckets(beats, [start], HALF_HOUR) == [Bucket(start, beats=4, good=3, latency=Latency(10, 18, 25))]


def test_a_bucket_without_a_good_beat_has_no_latency() -> None:
    start = datetime(2026, 1, 2, 3, tzinfo=UTC)
    [failed, empty] = fill_buckets([PastBeat(AT, False, 5)], [start, start - HALF_HOUR], HALF_HOUR)

    assert (failed.beats, failed.latency) == (1, None)
    assert (empty.beats, empty.good, empty.latency) == (0, 0, None)


@pytest.mark.parametrize(("results", "share"), [([], None), ([True], 1), ([False] * 2, 0), ([True, False], 0.5)])
def test_uptime_is_the_share_of_good_beats(results: list[bool], share: float | None) -> None:
    assert count_uptime([PastBeat(AT, good) for good in results]).share == share


@BRIEFLY
@given(MOMENTS)
def test_a_cursor_round_trips_and_is_safe_in_urls(at: datetime) -> None:
    assert decode_cursor(encode_cursor(at)) == at
    assert re.fullmatch(r"[A-Za-z0-9_-]+", encode_cursor(at))


BAD_CURSORS = [
    "",
    "x",
    "é",
    "2026-01-02T03:04:05.678901Z",
    encode_cursor(AT)[:-4],
    encode_cursor(AT) + "=",
    # A time without a zone.
    "MjAyNi0wMS0wMlQwMzowNDowNQ==",
    # No time is before it.
    encode_cursor(datetime.min.replace(tzinfo=UTC)),
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
def test_rejects_malformed_cursors(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="before is not valid") as raised:
        decode_cursor(cursor)

    assert raised.value.param == "before"


@BRIEFLY
@given(st.text())
def test_any_text_is_a_cursor_or_is_rejected(text: str) -> None:
    try:
        at = decode_cursor(text)
    except InvalidRequest:
        return
    assert encode_cursor(at) == text


@pytest.mark.parametrize(("text", "minutes"), [("1m", 1), ("30m", 30), ("24h", 1440), ("1440m", 1440), ("7m", 7)])
def test_parses_minutes_and_hours(text: str, minutes: int) -> None:
    assert parse_bucket_width(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "text", ["", "m", "0m", "30", "30s", "1441m", "25h", "-1h", "1.5h", "30m ", "030m", "٣m", "99999m"]
)
def test_rejects_other_bucket_widths(text: str) -> None:
    with pytest.raises(InvalidRequest, match="bucket is not valid") as raised:
        parse_bucket_width(text)

    assert raised.value.param == "bucket"


def test_a_past_beat_has_all_values_of_the_outcome() -> None:
    outcome = an_outcome(1, error="no", ttft_ms=3, tokens=7, model="echo", slot="s")

    assert to_past_beat(outcome) == PastBeat(after(1), False, 12, 3, "no", "echo", 7)
    assert to_past_beat(an_outcome()).good
