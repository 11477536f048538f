"""The alarms on the local AWS, from an outage of TokenHub to a message in a queue. Takes minutes of real time."""

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

# Not the default, because alarms, dashboard and functions must all use the parameter.
NAMESPACE = "SecondGateway"
EMAIL = "ops@example.com"
FIRST_TICK_S = 75
HEARTBEAT_INTERVAL_S = 30
ALARM_PERIOD_S = 60
TOLERANCE_S = 10


class MonitoredSystem:
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
        self._queue = self._subscribe_queue(self.outputs["AlarmTopicArn"])
        self._messages: list[dict[str, Any]] = []

    def _subscribe_queue(self, topic: str) -> str:
        """Creates a queue, subscribes it to the topic and returns its URL."""
        queue = str(self._sqs.create_queue(QueueName="alarms")["QueueUrl"])
        response = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        arn = response["Attributes"]["QueueArn"]
        allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        statement = allow | {"Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return queue

    def state(self, alarm: str) -> str:
        [description] = self.cloudwatch.describe_alarms(AlarmNames=[self.resources[alarm]])["MetricAlarms"]
        return str(description["StateValue"])

    def transitions(self, alarm: str) -> list[tuple[str, str]]:
        """Returns (old state, new state) of each message that the alarm has sent so far."""
        received = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in received:
            self._messages.append(json.loads(json.loads(message["Body"])["Message"]))
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        own = [message for message in self._messages if message["AlarmName"] == self.resources[alarm]]
        return [(message["OldStateValue"], message["NewStateValue"]) for message in own]

    def seconds_until(self, alarm: str, expected: list[tuple[str, str]], limit: float) -> float:
        """Waits for exactly these transitions and returns the time that this took."""
        started = time.monotonic()
        assert wait_until(lambda: self.transitions(alarm) == expected, limit, every=0.5), self._messages
        return time.monotonic() - started


@pytest.fixture(scope="module")
def tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as running:
        yield running


@pytest.fixture(scope="module")
def monitored(tokenhub: RunningTokenHub) -> Iterator[MonitoredSystem]:
    parameters = f"MetricsNamespace={NAMESPACE} AlarmEmail={EMAIL}"
    with LocalSystem(environ={"TOKENHUB": "off", "PARAMETERS": parameters}) as system:
        running = MonitoredSystem(system)
        provider = {"id": "tokenhub", "endpoint": f"{tokenhub.url}/v1", "api_key": KEY}
        httpx.post(f"{system.url}/api/v1/providers", json=provider, timeout=30, trust_env=False).raise_for_status()
        yield running


def test_a_stopped_tokenhub_raises_the_alarm_and_its_return_clears_it(
    monitored: MonitoredSystem, tokenhub: RunningTokenHub
) -> None:
    before = [("INSUFFICIENT_DATA", "OK")]
    monitored.seconds_until("ProviderFailedAlarm", before, FIRST_TICK_S + HEARTBEAT_INTERVAL_S)

    tokenhub.stop()
    raised = [*before, ("OK", "ALARM")]
    raised_after = monitored.seconds_until("ProviderFailedAlarm", raised, HEARTBEAT_INTERVAL_S + TOLERANCE_S)
    assert monitored.state("ProviderFailedAlarm") == "ALARM"
    tokenhub.start()
    cleared = [*raised, ("ALARM", "OK")]
    limit = ALARM_PERIOD_S + 2 * HEARTBEAT_INTERVAL_S + TOLERANCE_S
    cleared_after = monitored.seconds_until("ProviderFailedAlarm", cleared, limit)

    print(f"raised after {raised_after:.1f} s, cleared after {cleared_after:.1f} s")
    assert monitored.state("ProviderFailedAlarm") == "OK"
    assert monitored.state("NoTicksAlarm") == "OK"


def test_a_broken_stream_raises_the_alarm(monitored: MonitoredSystem, tokenhub: RunningTokenHub) -> None:
    body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "one two three four five"}]}
    url = f"{monitored.system.url}/v1/chat/completions"
    assert "event: error" not in httpx.post(url, json=body, timeout=30, trust_env=False).text
    monitored.seconds_until("StreamsTruncatedAlarm", [("INSUFFICIENT_DATA", "OK")], TOLERANCE_S)

    tokenhub.rehearse("cut_clean", times=1, path="/v1/chat/completions")
    response = httpx.post(url, json=body, timeout=30, trust_env=False)

    assert "stream_truncated" in response.text
    monitored.seconds_until("StreamsTruncatedAlarm", [("INSUFFICIENT_DATA", "OK"), ("OK", "ALARM")], TOLERANCE_S)


def test_counts_user_errors_while_tokenhub_is_down(monitored: MonitoredSystem, tokenhub: RunningTokenHub) -> None:
    tokenhub.stop()
    url = f"{monitored.system.url}/v1/chat/completions"
    response = httpx.post(url, json={"messages": []}, timeout=30, trust_env=False)
    tokenhub.start()

    assert response.json()["error"]["code"] == "provider_unreachable"
    assert wait_until(lambda: counted(monitored, "RequestErrors") >= 1, TOLERANCE_S, every=0.5)


def counted(monitored: MonitoredSystem, metric: str) -> float:
    """Returns today's sum of a metric without a dimension."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0)
    points = monitored.cloudwatch.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=metric,
        StartTime=midnight,
        EndTime=datetime.now(UTC),
        Period=86400,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))


def test_every_alarm_exists_and_notifies_the_topic(monitored: MonitoredSystem) -> None:
    alarms = monitored.cloudwatch.describe_alarms()["MetricAlarms"]

    assert {alarm["AlarmName"] for alarm in alarms} == {monitored.resources[name] for name in ALARMS}
    assert all(alarm["AlarmActions"] == alarm["OKActions"] == [monitored.outputs["AlarmTopicArn"]] for alarm in alarms)


def test_subscribes_the_alarm_email_to_the_topic(monitored: MonitoredSystem) -> None:
    topic = monitored.outputs["AlarmTopicArn"]
    subscriptions = monitored.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]

    assert EMAIL in [subscription["Endpoint"] for subscription in subscriptions if subscription["Protocol"] == "email"]


def test_deploys_the_dashboard_as_rendered(monitored: MonitoredSystem) -> None:
    name = monitored.outputs["DashboardUrl"].rpartition("/")[2]
    text = monitored.cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]
    values = {"MetricsNamespace": NAMESPACE, "AWS::Region": "us-east-1", "AWS::StackName": STACK}

    def value(reference: str) -> str:
        logical_id, _, attribute = reference.partition(".")
        if attribute:
            [alarm] = monitored.cloudwatch.describe_alarms(AlarmNames=[monitored.resources[logical_id]])["MetricAlarms"]
            return str(alarm["AlarmArn"])
        return values.get(reference) or str(monitored.resources[reference])

    rendered = REFERENCE.sub(lambda match: value(match[1]), json.dumps(dashboard()))
    assert json.loads(text) == json.loads(rendered)
    assert "${" not in text
