from gateway.api.views import beat_now_view, beat_view, buckets_view, history_view
from gateway.heartbeat.history import Bucket, Latency, Page, PastBeat, Uptime
from tests.unit.gateway.builders import AT

FAILED = PastBeat(AT, False, 12, 3, "no", "echo", 7)
SHOWN = {
    "at": "2026-01-02T03:04:05.678901Z",
    "status": "failed",
    "latency_ms": 12,
    "ttft_ms": 3,
    "error": "no",
    "model": "echo",
    "tokens": 7,
}


def test_shows_the_result_of_a_heartbeat() -> None:
    assert beat_view(FAILED).model_dump() == SHOWN
    assert beat_view(PastBeat(AT, True)).status == "healthy"


def test_unknown_values_are_null() -> None:
    shown = beat_view(PastBeat(AT, True)).model_dump()

    assert {name for name, value in shown.items() if value is None} == set(SHOWN) - {"at", "status"}


def test_a_requested_heartbeat_has_the_id_of_its_provider() -> None:
    assert beat_now_view("main", FAILED).model_dump() == SHOWN | {"id": "main"}


def test_a_page_has_heartbeats_a_cursor_and_uptime() -> None:
    shown = history_view(Page([FAILED], "older"), Uptime(beats=4, good=3)).model_dump()

    assert shown == {"items": [SHOWN], "next": "older", "uptime_24h": 0.75, "beats_24h": 4, "good_24h": 3}


def test_a_bucket_has_its_start() -> None:
    page = Page([Bucket(AT, 2, 1, Latency(1, 2, 3)), Bucket(AT, 0, 0, None)], None)

    shown = buckets_view(page, Uptime(0, 0)).model_dump(by_alias=True)

    assert [bucket["latency_ms"] for bucket in shown["items"]] == [{"min": 1, "mean": 2, "max": 3}, None]
    assert [bucket["from"] for bucket in shown["items"]] == [SHOWN["at"]] * 2
    assert (shown["uptime_24h"], shown["next"]) == (None, None)
