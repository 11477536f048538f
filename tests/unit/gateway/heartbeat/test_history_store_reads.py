from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.heartbeat.history import Page, PastBeat, cursor_of, moment_of
from gateway.heartbeat.history_store import HistoryStore
from gateway.registry.provider import format_timestamp
from tests.conftest import Aws
from tests.unit.gateway.builders import AT, a_provider, after, an_outcome

MAIN = a_provider(created_at=AT - timedelta(days=30))
HALF_HOUR = timedelta(minutes=30)


@pytest.fixture
def heartbeats(aws: Aws) -> HistoryStore:
    return HistoryStore(aws.heartbeats, kept=timedelta(days=7))


def read(heartbeats: HistoryStore, limit: int = 50, before: datetime | None = None) -> Page[PastBeat]:
    return heartbeats.page(MAIN, limit=limit, before=before, now=after(100))


def seconds(page: Page[PastBeat]) -> list[float]:
    return [(beat.at - AT).total_seconds() for beat in page.items]


def test_a_provider_without_a_beat_has_an_empty_history(heartbeats: HistoryStore) -> None:
    assert read(heartbeats) == Page([], None)
    assert heartbeats.uptime(MAIN, now=AT).share is None


def test_a_beat_reads_as_it_was_kept(heartbeats: HistoryStore) -> None:
    heartbeats.add("main", an_outcome(1, error="no", ttft_ms=3, tokens=7, model="echo"))
    heartbeats.add("main", an_outcome(0))

    assert read(heartbeats).items == [PastBeat(after(1), False, 12, 3, "no", "echo", 7), PastBeat(AT, True, 12)]


def test_only_the_providers_own_beats_are_read(heartbeats: HistoryStore) -> None:
    heartbeats.add("main-2", an_outcome())
    assert read(heartbeats).items == []


def test_pages_follow_one_another_while_new_beats_arrive(heartbeats: HistoryStore) -> None:
    for n in (0, 1, 2, 3):
        heartbeats.add("main", an_outcome(n))
    first = read(heartbeats, limit=2)
    heartbeats.add("main", an_outcome(4))
    assert first.next is not None

    second = read(heartbeats, limit=2, before=moment_of(first.next))

    assert (seconds(first), seconds(second)) == ([3, 2], [1, 0])
    assert second.next is None


def test_a_history_that_is_kept_for_longer_is_shown_for_longer(aws: Aws) -> None:
    month = HistoryStore(aws.heartbeats, kept=timedelta(days=30))
    month.add("main", an_outcome(-20 * 24 * 3600))

    assert len(read(month).items) == 1


def test_an_expired_beat_that_dynamodb_has_not_deleted_yet_is_not_shown(heartbeats: HistoryStore, aws: Aws) -> None:
    heartbeats.add("main", an_outcome(0))
    aws.heartbeats.update_item(
        Key={"provider_id": "main", "at": format_timestamp(AT)},
        UpdateExpression="SET expires_at = :then",
        ExpressionAttributeValues={":then": int(after(100).timestamp())},
    )
    heartbeats.add("main", an_outcome(1))

    page = read(heartbeats, limit=1)

    assert (seconds(page), page.next) == ([1], None)
    assert heartbeats.uptime(MAIN, now=after(100)).beats == 1
    buckets = heartbeats.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=after(100)).items
    assert sum(bucket.beats for bucket in buckets) == 1


def test_what_has_expired_is_not_read_one_at_a_time(heartbeats: HistoryStore, aws: Aws) -> None:
    for n in range(40):
        heartbeats.add("main", an_outcome(-n))
        aws.heartbeats.update_item(
            Key={"provider_id": "main", "at": format_timestamp(after(-n))},
            UpdateExpression="SET expires_at = :then",
            ExpressionAttributeValues={":then": int(AT.timestamp())},
        )
    heartbeats.add("main", an_outcome(1))
    asked: list[str] = []
    aws.heartbeats.meta.client.meta.events.register("before-call.dynamodb.Query", lambda **_: asked.append("query"))

    page = heartbeats.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=after(100))

    assert sum(bucket.beats for bucket in page.items) == 1
    assert len(asked) < 5


def test_a_deleted_predecessors_beats_are_not_shown(heartbeats: HistoryStore) -> None:
    for n in (0, 1, 2):
        heartbeats.add("main", an_outcome(n))
    successor = a_provider(created_at=after(1))

    page = heartbeats.page(successor, limit=2, before=None, now=after(100))

    assert (seconds(page), page.next) == ([2, 1], None)
    assert heartbeats.uptime(successor, now=after(100)).beats == 2
    assert heartbeats.page(successor, limit=2, before=after(1), now=after(100)).items == []


def test_uptime_is_that_of_the_last_24_hours(heartbeats: HistoryStore) -> None:
    day = timedelta(hours=24).total_seconds()
    for n, error in ((-day - 1, None), (-day, "no"), (-3, None), (0, None)):
        heartbeats.add("main", an_outcome(n, error=error))

    uptime = heartbeats.uptime(MAIN, now=AT)

    assert (uptime.beats, uptime.good, uptime.share) == (3, 2, 2 / 3)


def test_buckets_go_from_now_back_to_the_oldest_beat_and_show_gaps(heartbeats: HistoryStore) -> None:
    start = datetime.fromisoformat("2026-01-02T03:00:00Z")
    for minutes, error in ((0, None), (29, "no"), (61, None)):
        heartbeats.add("main", an_outcome((start - AT).total_seconds() + 60 * minutes, error=error))
    now = start + timedelta(minutes=95)

    page = heartbeats.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=now)

    assert [bucket.start for bucket in page.items] == [start + HALF_HOUR * n for n in (3, 2, 1, 0)]
    assert [(bucket.beats, bucket.good) for bucket in page.items] == [(0, 0), (1, 1), (0, 0), (2, 1)]
    assert page.next is None


def test_pages_of_buckets_follow_one_another(heartbeats: HistoryStore) -> None:
    for n in range(5):
        heartbeats.add("main", an_outcome(n * 1800))
    now = after(5 * 1800)
    first = heartbeats.buckets(MAIN, HALF_HOUR, limit=4, before=None, now=now)
    assert first.next is not None

    second = heartbeats.buckets(MAIN, HALF_HOUR, limit=4, before=moment_of(first.next), now=now)

    assert [bucket.beats for bucket in first.items + second.items] == [0, 1, 1, 1, 1, 1]
    assert first.next == cursor_of(first.items[-1].start)
    assert second.next is None


def test_there_are_no_buckets_without_a_beat_nor_before_the_oldest(heartbeats: HistoryStore) -> None:
    assert heartbeats.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=AT) == Page([], None)
    heartbeats.add("main", an_outcome(0))
    assert heartbeats.buckets(MAIN, HALF_HOUR, limit=9, before=after(-7200), now=AT) == Page([], None)


def test_all_pages_of_a_megabyte_are_followed(heartbeats: HistoryStore, aws: Aws) -> None:
    with aws.heartbeats.batch_writer() as batch:
        for n in range(10):
            item: dict[str, Any] = {"provider_id": "main", "at": format_timestamp(after(n)), "good": n % 2 == 0}
            batch.put_item(Item=item | {"expires_at": int(after(999).timestamp()), "error": "x" * 350_000})

    assert heartbeats.uptime(MAIN, now=after(100)).good == 5
    assert len(read(heartbeats).items) == 10
    assert sum(b.beats for b in heartbeats.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=after(100)).items) == 10


@pytest.fixture
def asked(aws: Aws) -> Iterator[list[dict[str, Any]]]:
    """The queries that are sent."""
    queries: list[dict[str, Any]] = []
    events, name = aws.heartbeats.meta.client.meta.events, "before-parameter-build.dynamodb.Query"
    events.register(name, lambda params, **_: queries.append(params), unique_id="asked")
    yield queries
    events.unregister(name, unique_id="asked")


def test_every_read_is_consistent(heartbeats: HistoryStore, asked: list[dict[str, Any]]) -> None:
    heartbeats.add("main", an_outcome(0))

    read(heartbeats)
    heartbeats.uptime(MAIN, now=AT)
    heartbeats.buckets(MAIN, HALF_HOUR, limit=9, before=None, now=after(100))

    assert len(asked) == 4
    assert all(query["ConsistentRead"] for query in asked)


def test_an_upside_down_stretch_of_time_is_not_asked_for(heartbeats: HistoryStore, asked: list[dict[str, Any]]) -> None:
    """DynamoDB refuses a BETWEEN whose bounds are the wrong way round; moto does not."""
    successor = a_provider(created_at=after(1))

    assert heartbeats.page(successor, limit=2, before=after(1), now=after(100)) == Page([], None)
    assert asked == []
