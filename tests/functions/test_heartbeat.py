import json
import re
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from tests.conftest import Aws
from tests.functions.conftest import Context, Load, Refuse, event
from tests.rehearsal import KEY, RunningTokenHub
from tests.template import ROOT


@pytest.fixture
def providers(load: Load, tokenhub: RunningTokenHub) -> Any:
    app = load("providers")
    body = json.loads(event("register")["body"]) | {"endpoint": f"{tokenhub.url}/v1"}
    app.handler(event("register", body=json.dumps(body)), Context())
    return app


@pytest.fixture
def provider(providers: Any) -> Any:
    return lambda: json.loads(providers.handler(event("list"), Context())["body"])[0]


@pytest.fixture
def beat(load: Load, providers: Any) -> Any:
    app = load("heartbeat")
    return lambda **changes: app.handler(event("tick", **changes), Context())


def test_a_tick_makes_an_answering_provider_healthy(beat: Any, provider: Any, tokenhub: RunningTokenHub) -> None:
    assert provider()["status"] == "pending"

    assert beat()["beaten"] == 1

    assert (provider()["status"], provider()["last_heartbeat_error"]) == ("healthy", None)
    beat(offset_seconds=30)
    first, second = (json.loads(request.body) for request in tokenhub.requests)
    assert first == second | {"stream": True}
    assert second["messages"] == [{"role": "user", "content": "ping"}]
    assert second["max_tokens"] == 16
    assert not [name for request in tokenhub.requests for name in request.headers if name.lower() == "idempotency-key"]


def test_reports_a_rejected_key(beat: Any, provider: Any, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("refuse_key")
    beat()

    assert provider()["status"] == "failed"
    assert provider()["last_heartbeat_error"].startswith("HTTP 401: invalid api key. ")
    assert provider()["consecutive_failures"] == 1


def test_reports_an_unreachable_provider_with_its_address(beat: Any, provider: Any, tokenhub: RunningTokenHub) -> None:
    tokenhub.stop()
    beat()
    tokenhub.start()

    error = provider()["last_heartbeat_error"]
    assert f"{tokenhub.url}/v1 refused the connection" in error
    assert "Check that TokenHub is running" in error


def test_shows_the_cause_of_all_providers_failed(beat: Any, provider: Any, tokenhub: RunningTokenHub) -> None:
    beat()
    tokenhub.rehearse("all_failed")
    beat(offset_seconds=30)

    assert provider()["last_heartbeat_error"].startswith(
        "HTTP 502: all providers failed for streaming: API error (status 401): "
    )
    assert [json.loads(request.body).get("stream") for request in tokenhub.requests] == [True, None, True]


def test_shows_todays_heartbeat_tokens(beat: Any, provider: Any) -> None:
    today = datetime.now(UTC).date()
    shown = [provider()["heartbeat_tokens_today"]]
    for offset_seconds in (0, 30):
        beat(offset_seconds=offset_seconds)
        shown.append(provider()["heartbeat_tokens_today"])
    # The count begins again at midnight.
    assert shown == [0, 512, 512 + 2] or datetime.now(UTC).date() != today


def test_fails_a_provider_whose_key_kms_does_not_decrypt(
    load: Load, providers: Any, provider: Any, refuse: Refuse
) -> None:
    refuse("Decrypt", "DisabledException")
    load("heartbeat").handler(event("tick"), Context())

    assert provider()["status"] == "failed"
    assert "The stack's KMS key is disabled" in provider()["last_heartbeat_error"]


def test_every_tick_emits_its_metrics(beat: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    beat()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [metrics] = [line for line in lines if "Ticks" in line]
    assert [metrics[name] for name in ("Ticks", "ProvidersFailed", "BeatsUnfinished")] == [[1.0], [0.0], [0.0]]
    assert [metrics[name] for name in ("BeatsNotWritten", "EventsNotPublished")] == [[0.0], [0.0]]
    assert metrics["OldestBeatAge"][0] < 60
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]


def test_a_tick_without_providers_emits_all_documented_metrics(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    app = load("heartbeat")
    capsys.readouterr()
    app.handler(event("tick"), Context())

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [names] = [
        [each["Name"] for each in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]] for line in lines if "_aws" in line
    ]
    rows = re.findall(
        r"^\| `(\w+)` \| \w+ \| none \| each tick(?:;[^|]*)? \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    assert sorted(names) == sorted(rows)
    assert [line["OldestBeatAge"] for line in lines if "_aws" in line] == [[0.0]]


def test_one_good_beat_makes_it_healthy_again(beat: Any, provider: Any, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("refuse_key", times=1)
    beat()
    beat(offset_seconds=30)

    assert (provider()["status"], provider()["consecutive_failures"]) == ("healthy", 0)


def test_drops_the_second_beat_of_a_slot(beat: Any, provider: Any, tokenhub: RunningTokenHub, aws: Aws) -> None:
    beat()
    tokenhub.rehearse("refuse_key")
    beat()

    assert provider()["status"] == "healthy"
    assert len(aws.heartbeats.scan()["Items"]) == 1


def test_fails_a_200_that_wraps_an_error(beat: Any, provider: Any, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("wrapped_error")
    beat()

    assert provider()["status"] == "failed"


def test_never_shows_stores_or_logs_an_echoed_key(
    beat: Any, provider: Any, tokenhub: RunningTokenHub, aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    tokenhub.rehearse("echo_key_error")
    beat()

    assert provider()["status"] == "failed"
    assert KEY not in json.dumps(provider())
    assert KEY not in str(aws.heartbeats.scan()["Items"]) + str(aws.providers.scan()["Items"])
    assert KEY not in str([vars(record) for record in caplog.records])


def test_drops_the_beat_of_a_deleted_provider(load: Load, providers: Any, aws: Aws) -> None:
    providers.handler(event("list", httpMethod="DELETE", path="/api/v1/providers/tokenhub"), Context())

    assert load("heartbeat").handler(event("first_beat"), Context()) == {"beaten": 0}
    assert aws.providers.scan()["Items"][0]["id"] == "#registry"


def test_a_change_of_health_publishes_one_event(beat: Any, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="changes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events = boto3.client("events")
    events.put_rule(Name="changes", EventPattern=json.dumps({"source": ["tokenhub-gateway"]}))
    events.put_targets(Rule="changes", Targets=[{"Id": "1", "Arn": arn}])

    beat()
    beat(offset_seconds=30)

    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    details = [json.loads(message["Body"])["detail"] for message in received]
    assert [(d["id"], d["old_status"], d["new_status"]) for d in details] == [("tokenhub", "pending", "healthy")]


def failure_metrics(printed: str) -> dict[str, Any]:
    """Returns the failure metrics that were emitted outside the ticks."""
    lines = [json.loads(line) for line in printed.splitlines()]
    names = ("BeatsNotWritten", "EventsNotPublished")
    return {name: line[name] for line in lines for name in names if name in line and "Ticks" not in line}


@pytest.mark.parametrize("flags", [{}, {"now": True}], ids=["first beat", "beat now"])
def test_a_beat_outside_the_ticks_emits_its_failures(
    load: Load,
    providers: Any,
    capsys: pytest.CaptureFixture[str],
    refuse: Refuse,
    flags: dict[str, bool],
) -> None:
    app = load("heartbeat")
    capsys.readouterr()
    refuse("PutEvents", "AccessDeniedException")
    app.handler({"provider_id": "tokenhub"} | flags, Context())
    assert failure_metrics(capsys.readouterr().out) == {"EventsNotPublished": [1.0]}

    app.handler({"provider_id": "tokenhub"} | flags, Context())
    assert failure_metrics(capsys.readouterr().out) == {}


def test_beat_now_returns_an_error_if_it_cannot_be_stored(
    load: Load, providers: Any, capsys: pytest.CaptureFixture[str], refuse: Refuse
) -> None:
    app = load("heartbeat")
    refuse("UpdateItem", "AccessDeniedException")
    capsys.readouterr()
    error = app.handler({"provider_id": "tokenhub", "now": True}, Context())["error"]

    assert (error["status"], error["code"]) == (502, "heartbeat_failed")
    assert "could not store the result of this heartbeat" in error["message"]
    assert failure_metrics(capsys.readouterr().out) == {"BeatsNotWritten": [1.0]}
