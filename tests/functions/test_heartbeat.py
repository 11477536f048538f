import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.conftest import Aws
from tests.functions.conftest import Context, Load, event
from tests.rehearsal import KEY, RunningTokenHub


@pytest.fixture(scope="module")
def running() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as tokenhub:
        yield tokenhub


@pytest.fixture
def tokenhub(running: RunningTokenHub) -> RunningTokenHub:
    running.reset()
    return running


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
    [request] = tokenhub.requests
    sent = json.loads(request.body)
    assert sent["messages"] == [{"role": "user", "content": "ping"}]
    assert sent["max_tokens"] == 16
    assert "stream" not in sent
    assert "idempotency-key" not in {name.lower() for name in request.headers}


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
