"""The alarms as the local AWS rings them, from a TokenHub that stops to a message in a queue: minutes of real time."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.local_system import LocalSystem
from tests.rehearsal import KEY, RunningTokenHub, wait_until
from tests.structure.observability import ALARMS, REFERENCE, dashboard
from tools.local import aws
from tools.local.settings import STACK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAMESPACE = "SecondGateway"  # not the default: alarms, dashboard and functions must agree on it
EMAIL = "ops@example.com"
FIRST_TICK_S = 75
BEAT_S = 30
WINDOW_S = 60  # what the alarm looks back on
SPARE_S = 10


class Watched:
    """A running system whose alarms go to a queue."""

    def __init__(self, system: LocalSystem) -> None:
        self.system = system
        self._sqs, self.sns = aws.client("sqs", system.aws_url), aws.client("sns", system.aws_url)
        self.cloudwatch = aws.client("cloudwatch", system.aws_url)
        stacks = aws.client("cloudformation", system.aws_url)
        self.resources = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for resource in stacks.describe_stack_resources(StackName=STACK)["StackResources"]
        }
        outputs = stacks.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
        self._queue = self._subscribed(self.outputs["AlarmTopicArn"])
        self._heard: list[dict[str, Any]] = []

    def _subscribed(self, topic: str) -> str:
        """The URL of a new queue to which the topic delivers."""
        queue = str(self._sqs.create_queue(QueueName="alarms")["QueueUrl"])
        found = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        arn = found["Attributes"]["QueueArn"]
        allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        statement = allow | {"Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return queue

    def state(self, alarm: str) -> str:
        [found] = self.cloudwatch.describe_alarms(AlarmNames=[self.resources[alarm]])["MetricAlarms"]
        return str(found["StateValue"])

    def heard(self, alarm: str) -> list[tuple[str, str]]:
        """(old state, new state) of each message of that alarm so far."""
        received = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in received:
            self._heard.append(json.loads(json.loads(message["Body"])["Message"]))
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        own = [each for each in self._heard if each["AlarmName"] == self.resources[alarm]]
        return [(each["OldStateValue"], each["NewStateValue"]) for each in own]

    def seconds_until(self, alarm: str, heard: list[tuple[str, str]], limit: float) -> float:
        began = time.monotonic()
        assert wait_until(lambda: self.heard(alarm) == heard, limit, every=0.5), self._heard
        return time.monotonic() - began


@pytest.fixture(scope="module")
def tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as running:
        yield running


@pytest.fixture(scope="module")
def watched(tokenhub: RunningTokenHub) -> Iterator[Watched]:
    chosen = f"MetricsNamespace={NAMESPACE} AlarmEmail={EMAIL}"
    with LocalSystem(environ={"TOKENHUB": "off", "PARAMETERS": chosen}) as system:
        watching = Watched(system)
        provider = {"id": "tokenhub", "endpoint": f"{tokenhub.url}/v1", "api_key": KEY}
        httpx.post(f"{system.url}/api/v1/providers", json=provider, timeout=30, trust_env=False).raise_for_status()
        yield watching


def test_a_stopped_tokenhub_raises_the_alarm_and_its_return_clears_it(
    watched: Watched, tokenhub: RunningTokenHub
) -> None:
    well = [("INSUFFICIENT_DATA", "OK")]
    watched.seconds_until("ProviderFailedAlarm", well, FIRST_TICK_S + BEAT_S)

    tokenhub.stop()
    rang = [*well, ("OK", "ALARM")]
    rang_after = watched.seconds_until("ProviderFailedAlarm", rang, BEAT_S + SPARE_S)
    assert watched.state("ProviderFailedAlarm") == "ALARM"
    tokenhub.start()
    over = [*rang, ("ALARM", "OK")]
    over_after = watched.seconds_until("ProviderFailedAlarm", over, WINDOW_S + 2 * BEAT_S + SPARE_S)

    print(f"rang after {rang_after:.1f} s, over after {over_after:.1f} s")
    assert watched.state("ProviderFailedAlarm") == "OK"
    assert watched.state("NoTicksAlarm") == "OK"


def test_a_broken_stream_raises_the_alarm(watched: Watched, tokenhub: RunningTokenHub) -> None:
    body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "one two three four five"}]}
    url = f"{watched.system.url}/v1/chat/completions"
    assert "event: error" not in httpx.post(url, json=body, timeout=30, trust_env=False).text
    watched.seconds_until("StreamsTruncatedAlarm", [("INSUFFICIENT_DATA", "OK")], SPARE_S)

    tokenhub.rehearse("cut_clean", times=1, path="/v1/chat/completions")
    answer = httpx.post(url, json=body, timeout=30, trust_env=False)

    assert "stream_truncated" in answer.text
    watched.seconds_until("StreamsTruncatedAlarm", [("INSUFFICIENT_DATA", "OK"), ("OK", "ALARM")], SPARE_S)


def test_counts_user_errors_while_tokenhub_is_down(watched: Watched, tokenhub: RunningTokenHub) -> None:
    tokenhub.stop()
    url = f"{watched.system.url}/v1/chat/completions"
    answer = httpx.post(url, json={"messages": []}, timeout=30, trust_env=False)
    tokenhub.start()

    assert answer.json()["error"]["code"] == "provider_unreachable"
    assert wait_until(lambda: counted(watched, "RequestErrors") >= 1, SPARE_S, every=0.5)


def counted(watched: Watched, metric: str) -> float:
    """The sum of a metric without a dimension today."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0)
    points = watched.cloudwatch.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=metric,
        StartTime=midnight,
        EndTime=datetime.now(UTC),
        Period=86400,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))


def test_every_alarm_exists_and_notifies_the_topic(watched: Watched) -> None:
    alarms = watched.cloudwatch.describe_alarms()["MetricAlarms"]

    assert {alarm["AlarmName"] for alarm in alarms} == {watched.resources[name] for name in ALARMS}
    assert all(alarm["AlarmActions"] == alarm["OKActions"] == [watched.outputs["AlarmTopicArn"]] for alarm in alarms)


def test_subscribes_the_alarm_email_to_the_topic(watched: Watched) -> None:
    topic = watched.outputs["AlarmTopicArn"]
    subscriptions = watched.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]

    assert EMAIL in [each["Endpoint"] for each in subscriptions if each["Protocol"] == "email"]


def test_deploys_the_dashboard_as_rendered(watched: Watched) -> None:
    name = watched.outputs["DashboardUrl"].rpartition("/")[2]
    text = watched.cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]
    own = {"MetricsNamespace": NAMESPACE, "AWS::Region": "us-east-1", "AWS::StackName": STACK}

    def value(reference: str) -> str:
        logical_id, _, attribute = reference.partition(".")
        if attribute:
            [alarm] = watched.cloudwatch.describe_alarms(AlarmNames=[watched.resources[logical_id]])["MetricAlarms"]
            return str(alarm["AlarmArn"])
        return own.get(reference) or str(watched.resources[reference])

    rendered = REFERENCE.sub(lambda found: value(found[1]), json.dumps(dashboard()))
    assert json.loads(text) == json.loads(rendered)
    assert "${" not in text
