from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.heartbeat.history import PastBeat, Uptime, decode_cursor
from gateway.heartbeat.rollup_items import to_items
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.heartbeat.rollups import Cell, Incident, RollUp, next_window, roll_up
from gateway.registry.provider import Health, Provider
from tests.conftest import Aws
from tests.unit.gateway.builders import WEEK, a_provider

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREATED = NOON - timedelta(days=30)
MAIN = a_provider(created_at=CREATED)


@pytest.fixture
def store(aws: Aws) -> RollUpStore:
    return RollUpStore(aws.roll_ups, sleep=lambda _: None)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def beat(minutes: float, error: str | None = None, ms: int = 400) -> PastBeat:
    return PastBeat(at(minutes), error is None, ms, error=error)


def roll(store: RollUpStore, end: datetime, beats: Sequence[PastBeat], provider: Provider = MAIN) -> RollUp:
    """Rolls up as a tick does: reads the state, and writes the items of the next window."""
    before = store.roll_ups([provider], end)[provider.id]
    window = next_window(before, end, created_at=provider.created_at, retention=WEEK)
    after, changed = roll_up(before, window, [each for each in beats if window.start <= each.at < window.end])
    store.write(to_items(provider, after, window, changed))
    return after


@pytest.fixture
def requests(aws: Aws) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The operations that are sent to DynamoDB, with their parameters."""
    sent: list[tuple[str, dict[str, Any]]] = []
    events = aws.roll_ups.meta.client.meta.events
    events.register(
        "provide-client-params.dynamodb", lambda params, model, **_: sent.append((model.name, params)), unique_id="sent"
    )
    yield sent
    events.unregister("provide-client-params.dynamodb", unique_id="sent")


def test_a_provider_without_roll_ups_has_an_empty_past(store: RollUpStore) -> None:
    assert store.roll_ups([MAIN], NOON) == {"main": RollUp()}
    history = store.read_summaries([MAIN], NOON)["main"]
    assert (history.until, history.incidents) == (None, ())
    assert set(history.uptime.values()) == {Uptime(0, 0)}
    assert (len(history.cells), len(history.days)) == (48, 90)


def test_reads_the_roll_ups_that_it_wrote(store: RollUpStore) -> None:
    written = roll(store, at(70), [beat(-1500), beat(0), beat(40, "no"), beat(65)])
    assert store.roll_ups([MAIN], at(100)) == {"main": written}


def test_a_repeated_roll_up_changes_no_item(store: RollUpStore, aws: Aws) -> None:
    beats = [beat(minutes, "no" if minutes % 7 == 0 else None) for minutes in range(300)]
    for end in (100, 130, 160):
        roll(store, at(end), beats)
    before = aws.roll_ups.scan()["Items"]
    roll(store, at(160), beats)
    assert aws.roll_ups.scan()["Items"] == before


def test_writes_the_item_of_the_last_24_hours_after_the_others(
    store: RollUpStore, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    items = [{"provider_id": "main", "entry": entry} for entry in ("current", *map(str, range(30)))]
    store.write(items)
    entries = [
        [request["PutRequest"]["Item"]["entry"] for request in parameters["RequestItems"]["roll-ups"]]
        for _, parameters in requests
    ]
    assert [len(each) for each in entries] == [25, 5, 1]
    assert entries[-1] == ["current"]


def test_summarizes_the_periods(store: RollUpStore) -> None:
    hour = 60
    beats = [
        beat(-40 * 24 * hour, ms=9000),
        beat(-20 * 24 * hour, "no"),
        beat(-3 * 24 * hour, ms=100),
        beat(-5 * hour, "no"),
        beat(-1, ms=400),
    ]
    provider = a_provider(created_at=NOON - timedelta(days=100))
    for each in beats:
        roll(store, each.at + timedelta(minutes=1), beats, provider)

    history = store.read_summaries([provider], NOON)["main"]

    counts = {period: (uptime.beats, uptime.good) for period, uptime in history.uptime.items()}
    assert counts == {"24h": (2, 1), "7d": (3, 2), "30d": (4, 2), "90d": (5, 3)}
    assert history.uptime["24h"].p95_ms == pytest.approx(400, rel=0.05)
    assert history.uptime["90d"].p95_ms == pytest.approx(9000, rel=0.05)
    assert history.uptime["90d"].share == 3 / 5
    assert history.days[-1].date == NOON.date()
    assert [day.beats for day in history.days if day.beats] == [1, 1, 1, 2]
    assert history.cells[-1].start == NOON
    assert [cell.start for cell in history.cells if cell.beats] == [at(-5 * hour), at(-30)]


def test_reads_at_most_five_items_of_each_provider(
    store: RollUpStore, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    """A page also reads the provider, which makes six."""
    providers = [a_provider(id=f"p{number}") for number in range(50)]
    for days in range(366):
        requests.clear()
        if days % 30 == 0:
            store.read_summaries(providers, NOON + timedelta(days=days))
            keys = [key for _, sent in requests for key in sent["RequestItems"]["roll-ups"]["Keys"]]
            assert len(keys) <= 5 * len(providers)
            assert {name for name, _ in requests} == {"BatchGetItem"}
            assert max(len(sent["RequestItems"]["roll-ups"]["Keys"]) for _, sent in requests) <= 100


def test_an_old_item_of_the_last_24_hours_does_not_count_older_half_hours(store: RollUpStore) -> None:
    roll(store, at(1), [beat(-23 * 60), beat(0)])
    history = store.read_summaries([MAIN], at(12 * 60))["main"]
    assert history.uptime["24h"].beats == 1
    assert store.read_summaries([MAIN], at(2 * 24 * 60))["main"].uptime["24h"].beats == 0
    assert history.uptime["7d"].beats == 2


def test_hides_expired_items(store: RollUpStore) -> None:
    roll(store, at(1), [beat(0, "no")])
    much_later = NOON + timedelta(days=401)
    assert store.read_summaries([MAIN], much_later)["main"].until is None
    assert store.roll_ups([MAIN], much_later) == {"main": RollUp()}
    assert store.incidents(MAIN, limit=5, before=None, now=much_later).items == []


def test_a_successor_does_not_show_the_past_of_a_deleted_provider(store: RollUpStore, aws: Aws) -> None:
    roll(store, at(1), [beat(-60, "old"), beat(-50)])
    successor = a_provider(created_at=at(2))

    assert store.read_summaries([successor], at(3))["main"].until is None
    assert store.incidents(successor, limit=5, before=None, now=at(3)).items == []
    after = roll(store, at(40), [beat(5)], successor)

    assert after.cells.keys() == {at(0)}
    history = store.read_summaries([successor], at(40))["main"]
    assert (history.uptime["90d"].beats, history.incidents) == (1, ())
    assert len(aws.roll_ups.scan()["Items"]) == 4


def test_pages_of_incidents_are_contiguous(store: RollUpStore) -> None:
    beats = [beat(minutes, f"cause {minutes}" if minutes % 2 else None) for minutes in range(20)]
    roll(store, at(30), beats)
    first = store.incidents(MAIN, limit=4, before=None, now=at(30))
    assert first.next is not None

    second = store.incidents(MAIN, limit=50, before=decode_cursor(first.next), now=at(30))

    causes = [incident.cause for incident in (*first.items, *second.items)]
    assert causes == [f"cause {minutes}" for minutes in range(19, 0, -2)]
    assert first.items[0] == Incident(at(19), None, "cause 19", number=10)
    assert first.items[1].end == at(18)
    assert second.next is None


def test_an_exactly_full_page_of_incidents_is_the_last_one(store: RollUpStore) -> None:
    roll(store, at(30), [beat(0, "no"), beat(1)])
    assert store.incidents(MAIN, limit=1, before=None, now=at(30)).next is None


def test_shows_an_incident_before_its_roll_up(store: RollUpStore) -> None:
    roll(store, at(30), [beat(0, "old"), beat(1)])
    failed = a_provider(
        created_at=CREATED, health=Health("failed", status_changed_at=at(33), last_heartbeat_error="dead key")
    )
    expected = [Incident(at(33), None, "dead key"), Incident(at(0), at(1), "old")]

    assert store.read_summaries([failed], at(35))["main"].incidents == tuple(expected)
    page = store.incidents(failed, limit=1, before=None, now=at(35))

    assert page.items == expected[:1]
    assert page.next is not None
    older = store.incidents(failed, limit=1, before=decode_cursor(page.next), now=at(35))
    assert (older.items, older.next) == (expected[1:], None)


def test_ends_an_incident_before_its_roll_up(store: RollUpStore) -> None:
    roll(store, at(30), [beat(0, "no")])
    healthy = a_provider(created_at=CREATED, health=Health("healthy", status_changed_at=at(33)))
    assert store.read_summaries([healthy], at(35))["main"].incidents == (Incident(at(0), at(33), "no"),)


def test_a_lasting_incident_stays_as_it_is(store: RollUpStore) -> None:
    roll(store, at(30), [beat(0, "first")])
    failed = a_provider(created_at=CREATED, health=Health("failed", status_changed_at=at(0), last_heartbeat_error="x"))
    assert store.read_summaries([failed], at(35))["main"].incidents == (Incident(at(0), None, "first"),)


def test_a_half_hour_is_a_cell(store: RollUpStore) -> None:
    roll(store, at(1), [beat(0, ms=500)])
    newest = store.read_summaries([MAIN], at(5))["main"].cells[-1]
    assert (newest.start, newest.beats, newest.good, newest.latency_ms) == (at(0), 1, 1, 500)
    assert isinstance(newest, Cell)
