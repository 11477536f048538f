from boto3.dynamodb.conditions import Key

from gateway.heartbeats import Heartbeats
from tests.conftest import Aws
from tests.unit.gateway.builders import AT, an_outcome


def test_an_outcome_is_kept_with_all_that_it_met(aws: Aws) -> None:
    Heartbeats(aws.heartbeats).add("main", an_outcome(error="no", ttft_ms=3, tokens=7, model="echo", slot="s"))
    (item,) = aws.heartbeats.scan()["Items"]
    assert item == {
        "provider_id": "main",
        "at": "2026-01-02T03:04:05.678901Z",
        "good": False,
        "error": "no",
        "latency_ms": 12,
        "ttft_ms": 3,
        "model": "echo",
        "tokens": 7,
        "expires_at": int(AT.timestamp()) + 7 * 24 * 3600,
    }


def test_a_good_outcome_has_no_error_and_what_is_unknown_is_left_out(aws: Aws) -> None:
    Heartbeats(aws.heartbeats).add("main", an_outcome())
    (item,) = aws.heartbeats.scan()["Items"]
    assert set(item) == {"provider_id", "at", "good", "latency_ms", "expires_at"}
    assert item["good"] is True


def test_the_history_of_a_provider_reads_newest_first(aws: Aws) -> None:
    history = Heartbeats(aws.heartbeats)
    for seconds in (30, 0, 60.5, 60):
        history.add("main", an_outcome(seconds))
        history.add("other", an_outcome(seconds + 1))
    found = aws.heartbeats.query(KeyConditionExpression=Key("provider_id").eq("main"), ScanIndexForward=False)
    times = [item["at"] for item in found["Items"]]
    assert len(times) == 4
    assert times == sorted(times, reverse=True)
