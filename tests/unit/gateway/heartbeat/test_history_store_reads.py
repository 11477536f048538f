from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

import pytest

from gateway.heartbeat.batches import MAX_ITEMS_PER_CALL
from gateway.heartbeat.history import Page, PastBeat, decode_cursor, encode_cursor
from gateway.heartbeat.history_store import HistoryStore
from gateway.registry.provider import format_timestamp
from tests.conftest import Aws
from tests.unit.gateway.builders import AT, a_provider, after, an_outcome

MAIN = a_provider(created_at=AT - timedelta(days=30))
HALF_HOUR = timedelta(minutes=30)


@pytest.fixture
def history(aws: Aws) -> HistoryStore:
    return HistoryStore(aws.heartbeats, retention=timedelta(days=7))


def read(history: HistoryStore, limit: int = 50, before: datetime | None = None) -> Page[PastBeat]:
    return history.page(MAIN, limit=limit, before=before, now=after(100))


def seconds(page: Page[PastBeat]) -> list[float]:
    return [(beat.at - AT).total_seconds() for beat in page.items]


def test_a_provider_without_beats_has_an_empty_history(history: HistoryStore) -> None:
    assert read(history) == Page([], None)
    assert history.uptime(MAIN, now=AT).share is None


def test_reads_a_beat_as_it_was_stored(history: HistoryStore) -> None:
    history.add("main", an_outcome(1, error="no", ttft_ms=3, tokens=7, model="echo"))
    history.add("main", an_outcome(0))

    assert read(history).items == [PastBeat(after(1), False, 12, 3, "no", "echo", 7), PastBeat(AT, True, 12)]


def test_reads_only_the_providers_beats(history: HistoryStore) -> None:
    history.add("main-2", an_outcome())
    assert read(history).items == []


def test_new_beats_do_not_shift_pages(history: HistoryStore) -> None:
    for n in (0, 1, 2, 3):
        history.add("main", an_outcome(n))
    first = read(history, limit=2)
    history.add("main", an_outcome(4))
    assert first.next is not None

    second = read(history, limit=2, before=decode_cursor(first.next))

    assert (seconds(first), seconds(second)) == ([3, 2], [1, 0])
    assert second.next is None


def test_a_longer_retention_shows_older_beats(aws: Aws) -> None:
    month = HistoryStore(aws.heartbeats, retention=timedelta(days=30))
    month.add("main", an_outcome(-20 * 24 * 3600))

    assert len(read(month).items) == 1


def test_hides_expired_beats(history: HistoryStore, aws: Aws) -> None:
    history.add("main", an_outcome(0))
    aws.heartbeats.update_item(
        Key={"provider_id": "main", "at": format_timestamp(AT)},
        UpdateExpression="SET expires_at = :then",
        ExpressionAttributeValues={":then": int(after(100).timestamp())},
    )
    history.add("main", an_outcome(1))

    page = read(history, limit=1)

    assert (seconds(page), page.next) == ([1], None)
    assert history.uptime(MAIN, now=after(100)).beats == 1
    buckets = history.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=after(100)).items
    assert sum(bucket.beats for bucket in buckets) == 1


def test_skips_expired_beats_in_few_queries(history: HistoryStore, aws: Aws) -> None:
    expired = [("main", an_outcome(-n)) for n in range(40)]
    for batch in batched(expired, MAX_ITEMS_PER_CALL, strict=False):
        HistoryStore(aws.heartbeats, retention=timedelta(0)).add_all(batch)
    history.add("main", an_outcome(1))
    queries: list[str] = []
    aws.heartbeats.meta.client.meta.events.register("before-call.dynamodb.Query", lambda **_: queries.append("query"))

    page = history.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=after(100))

    assert sum(bucket.beats for bucket in page.items) == 1
    assert len(queries) < 5


def test_hides_the_beats_of_a_deleted_provider_of_the_same_id(history: HistoryStore) -> None:
    for n in (0, 1, 2):
        history.add("main", an_outcome(n))
    successor = a_provider(created_at=after(1))

    page = history.page(successor, limit=2, before=None, now=after(100))

    assert (seconds(page), page.next) == ([2, 1], None)
    assert history.uptime(successor, now=after(100)).beats == 2
    assert history.page(successor, limit=2, before=after(1), now=after(100)).items == []


def test_uptime_covers_24_hours(history: HistoryStore) -> None:
    day = timedelta(hours=24).total_seconds()
    for n, error in ((-day - 1, None), (-day, "no"), (-3, None), (0, None)):
        history.add("main", an_outcome(n, error=error))

    uptime = history.uptime(MAIN, now=AT)

    assert (uptime.beats, uptime.good, uptime.share) == (3, 2, 2 / 3)


def test_buckets_cover_the_time_from_the_oldest_beat_to_now(history: HistoryStore) -> None:
    start = datetime.fromisoformat("2026-01-02T03:00:00Z")
    for minutes, error in ((0, None), (29, "no"), (61, None)):
        history.add("main", an_outcome((start - AT).total_seconds() + 60 * minutes, error=error))
    now = start + timedelta(minutes=95)

    page = history.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=now)

    assert [bucket.start for bucket in page.items] == [start + HALF_HOUR * n for n in (3, 2, 1, 0)]
    assert [(bucket.beats, bucket.good) for bucket in page.items] == [(0, 0), (1, 1), (0, 0), (2, 1)]
    assert page.next is None


def test_pages_of_buckets_are_contiguous(history: HistoryStore) -> None:
    for n in range(5):
        history.add("main", an_outcome(n * 1800))
    now = after(5 * 1800)
    first = history.buckets(MAIN, HALF_HOUR, limit=4, before=None, now=now)
    assert first.next is not None

    second = history.buckets(MAIN, HALF_HOUR, limit=4, before=decode_cursor(first.next), now=now)

    assert [bucket.beats for bucket in first.items + second.items] == [0, 1, 1, 1, 1, 1]
    assert first.next == encode_cursor(first.items[-1].start)
    assert second.next is None


def test_no_buckets_without_beats_or_before_the_oldest(history: HistoryStore) -> None:
    assert history.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=AT) == Page([], None)
    history.add("main", an_outcome(0))
    assert history.buckets(MAIN, HALF_HOUR, limit=9, before=after(-7200), now=AT) == Page([], None)


def test_follows_dynamodbs_pages(history: HistoryStore, aws: Aws) -> None:
    with aws.heartbeats.batch_writer() as batch:
        for n in range(10):
            item: dict[str, Any] = {"provider_id": "main", "at": format_timestamp(after(n)), "good": n % 2 == 0}
            batch.put_item(Item=item | {"expires_at": int(after(999).timestamp()), "error": "x" * 350_000})

    assert history.uptime(MAIN, now=after(100)).good == 5
    assert len(read(history).items) == 10
    assert sum(b.beats for b in history.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=after(100)).items) == 10


@pytest.fixture
def queries(aws: Aws) -> Iterator[list[dict[str, Any]]]:
    """The queries that are sent to DynamoDB."""
    sent: list[dict[str, Any]] = []
    events, name = aws.heartbeats.meta.client.meta.events, "before-parameter-build.dynamodb.Query"
    events.register(name, lambda params, **_: sent.append(params), unique_id="queries")
    yield sent
    events.unregister(name, unique_id="queries")


def test_every_read_is_consistent(history: HistoryStore, queries: list[dict[str, Any]]) -> None:
    history.add("main", an_outcome(0))

    read(history)
    history.uptime(MAIN, now=AT)
    history.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=after(100))

    assert len(queries) == 4
    assert all(query["ConsistentRead"] for query in queries)


def test_does_not_query_a_reversed_time_range(history: HistoryStore, queries: list[dict[str, Any]]) -> None:
    """DynamoDB rejects a BETWEEN with reversed bounds. moto accepts it."""
    successor = a_provider(created_at=after(1))

    assert history.page(successor, limit=2, before=after(1), now=after(100)) == Page([], None)
    assert queries == []
