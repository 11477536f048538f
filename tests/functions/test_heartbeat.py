import json
import re
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.conftest import Aws
from tests.functions.conftest import Context, Load, event
from tests.rehearsal import KEY, RunningTokenHub
from tests.template import ROOT


@pytest.fixture
def providers(load: Load, tokenhub: RunningTokenHub) -> Any:
    app = load("providers")
    body = json.loads(event("register")["body"]) | {"endpoint": f"{tokenhub.url}/v1"}
    app.handler(event("register", body=json.dumps(body)), Context())
    return app


@pytest.fixture
def shown(providers: Any) -> Any:
    return lambda: json.loads(providers.handler(event("list"), Context())["body"])[0]


@pytest.fixture
def beat(load: Load, providers: Any) -> Any:
    app = load("heartbeat")
    return lambda **changes: app.handler(event("tick", **changes), Context())


def test_a_tick_makes_an_answering_provider_healthy(beat: Any, shown: Any, tokenhub: RunningTokenHub) -> None:
    assert shown()["status"] == "pending"

    assert beat()["beaten"] == 1

    assert (shown()["status"], shown()["last_heartbeat_error"]) == ("healthy", None)
    beat(offset_seconds=30)
    first, second = (json.loads(request.body) for request in tokenhub.requests)
    assert first == second | {"stream": True}
    assert second["messages"] == [{"role": "user", "content": "ping"}]
    assert second["max_tokens"] == 16
    assert not [name for request in tokenhub.requests for name in request.headers if name.lower() == "idempotency-key"]


def test_a_provider_that_refuses_the_key_is_failed_with_words_that_help(
    beat: Any, shown: Any, tokenhub: RunningTokenHub
) -> None:
    tokenhub.rehearse("refuse_key")
    beat()

    assert shown()["status"] == "failed"
    assert shown()["last_heartbeat_error"].startswith("HTTP 401: invalid api key. ")
    assert shown()["consecutive_failures"] == 1


def test_a_provider_that_is_gone_is_failed_with_its_address_and_what_to_do(
    beat: Any, shown: Any, tokenhub: RunningTokenHub
) -> None:
    tokenhub.stop()
    beat()
    tokenhub.start()

    error = shown()["last_heartbeat_error"]
    assert f"{tokenhub.url}/v1 refused the connection" in error
    assert "Is TokenHub running there" in error


def test_the_cause_behind_all_providers_failed_is_shown(beat: Any, shown: Any, tokenhub: RunningTokenHub) -> None:
    beat()
    tokenhub.rehearse("all_failed")
    beat(offset_seconds=30)

    assert shown()["last_heartbeat_error"].startswith(
        "HTTP 502: all providers failed for streaming: API error (status 401): "
    )
    assert [json.loads(request.body).get("stream") for request in tokenhub.requests] == [True, None, True]


def test_what_the_beats_of_today_cost_is_shown(beat: Any, shown: Any) -> None:
    assert shown()["heartbeat_tokens_today"] == 0
    beat()
    assert shown()["heartbeat_tokens_today"] == 512
    beat(offset_seconds=30)
    assert shown()["heartbeat_tokens_today"] == 512 + 2


def test_a_key_that_kms_does_not_decrypt_now_makes_the_provider_failed(load: Load, providers: Any, shown: Any) -> None:
    app = load("heartbeat")
    with Stubber(app.kms) as stub:
        stub.add_client_error("decrypt", "DisabledException")
        app.handler(event("tick"), Context())

    assert shown()["status"] == "failed"
    assert "The stack's KMS key is disabled" in shown()["last_heartbeat_error"]


def test_every_tick_tells_its_metrics(beat: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    beat()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [told] = [line for line in lines if "Ticks" in line]
    assert [told[name] for name in ("Ticks", "ProvidersFailed", "BeatsUnfinished")] == [[1.0], [0.0], [0.0]]
    assert [told[name] for name in ("BeatsNotWritten", "EventsNotPublished")] == [[0.0], [0.0]]
    assert told["OldestBeatAge"][0] < 5
    assert told["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]


def test_what_each_tick_writes_by_the_docs_is_written_without_a_provider_too(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    app = load("heartbeat")
    capsys.readouterr()
    app.handler(event("tick"), Context())

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [names] = [
        [each["Name"] for each in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]] for line in told if "_aws" in line
    ]
    rows = re.findall(
        r"^\| `(\w+)` \| \w+ \| none \| each tick(?:;[^|]*)? \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    assert sorted(names) == sorted(rows)
    assert [line["OldestBeatAge"] for line in told if "_aws" in line] == [[0.0]]


def test_it_is_healthy_again_after_one_good_beat(beat: Any, shown: Any, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("refuse_key", times=1)
    beat()
    beat(offset_seconds=30)

    assert (shown()["status"], shown()["consecutive_failures"]) == ("healthy", 0)


def test_the_second_beat_of_a_slot_is_dropped(beat: Any, shown: Any, tokenhub: RunningTokenHub, aws: Aws) -> None:
    beat()
    tokenhub.rehearse("refuse_key")
    beat()

    assert shown()["status"] == "healthy"
    assert len(aws.heartbeats.scan()["Items"]) == 1


def test_a_200_that_wraps_an_error_is_a_failure(beat: Any, shown: Any, tokenhub: RunningTokenHub) -> None:
    tokenhub.rehearse("wrapped_error")
    beat()

    assert shown()["status"] == "failed"


def test_a_key_that_tokenhub_echoes_stands_nowhere(
    beat: Any, shown: Any, tokenhub: RunningTokenHub, aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    tokenhub.rehearse("echo_key_error")
    beat()

    assert shown()["status"] == "failed"
    assert KEY not in json.dumps(shown())
    assert KEY not in str(aws.heartbeats.scan()["Items"]) + str(aws.providers.scan()["Items"])
    assert KEY not in str([vars(record) for record in caplog.records])


def test_the_beat_of_a_provider_that_was_deleted_meanwhile_is_dropped(load: Load, providers: Any, aws: Aws) -> None:
    providers.handler(event("list", httpMethod="DELETE", path="/api/v1/providers/tokenhub"), Context())

    assert load("heartbeat").handler(event("first_beat"), Context()) == {"beaten": 0}
    assert aws.providers.scan()["Items"][0]["id"] == "#registry"


def test_a_change_of_health_makes_one_event(beat: Any, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
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


def counted(printed: str) -> dict[str, Any]:
    """What was written of the metrics that should be 0."""
    lines = [json.loads(line) for line in printed.splitlines()]
    names = ("BeatsNotWritten", "EventsNotPublished")
    return {name: line[name] for line in lines for name in names if name in line and "Ticks" not in line}


@pytest.mark.parametrize("question", [{}, {"now": True}], ids=["first beat", "beat now"])
def test_a_beat_outside_the_ticks_tells_the_metrics_what_it_left_undone(
    load: Load, providers: Any, capsys: pytest.CaptureFixture[str], question: dict[str, bool]
) -> None:
    app = load("heartbeat")
    capsys.readouterr()
    with Stubber(app.events) as stub:
        stub.add_client_error("put_events", "InternalFailure")
        app.handler({"provider_id": "tokenhub"} | question, Context())
    assert counted(capsys.readouterr().out) == {"EventsNotPublished": [1.0]}

    app.handler({"provider_id": "tokenhub"} | question, Context())
    assert counted(capsys.readouterr().out) == {}


def test_a_beat_now_that_cannot_be_written_down_is_an_error_in_words(
    load: Load, providers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:
        raise ConnectionError

    app = load("heartbeat")
    app.dynamodb.meta.client.meta.events.register("before-call.dynamodb.UpdateItem", refuse)
    capsys.readouterr()
    error = app.handler({"provider_id": "tokenhub", "now": True}, Context())["error"]

    assert (error["status"], error["code"]) == (502, "heartbeat_failed")
    assert "could not write down what this heartbeat met" in error["message"]
    assert counted(capsys.readouterr().out) == {"BeatsNotWritten": [1.0]}
