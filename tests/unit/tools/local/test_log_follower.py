import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import EndpointConnectionError

from tools.local.deployment import Function
from tools.local.log_follower import LogFollower


def function(name: str) -> Function:
    return Function(
        logical_id=f"{name}Function",
        name=name.lower(),
        arn=f"arn:{name}",
        handler="app.handler",
        role_arn="arn:role",
        timeout_s=3,
        memory_mb=128,
        environment={},
        code=Path(),
        layers=(),
        log_group=f"/groups/{name}",
    )


class LogsService:
    """The part of CloudWatch Logs that the follower calls. `lag_ms` gives new events an older timestamp."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.streams: set[tuple[str, str]] = set()
        self.broken = False

    def write(self, group: str, message: str, *, stream: str = "s", lag_ms: int = 0) -> None:
        at = int(time.time() * 1000) - lag_ms
        self.events.setdefault(group, []).append({"logStreamName": stream, "timestamp": at, "message": message})

    def filter_log_events(self, **request: Any) -> dict[str, Any]:
        if self.broken:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        group = self.events.get(request["logGroupName"], [])
        events = [event for event in group if event["timestamp"] >= request["startTime"]]
        return {"events": sorted(events, key=lambda event: event["timestamp"])}

    def create_log_stream(self, **request: str) -> None:
        self.streams.add((request["logGroupName"], request["logStreamName"]))

    def put_log_events(self, **request: Any) -> None:
        group, stream = request["logGroupName"], request["logStreamName"]
        assert (group, stream) in self.streams
        self.events.setdefault(group, []).extend(event | {"logStreamName": stream} for event in request["logEvents"])


class Metrics:
    def __init__(self) -> None:
        self.data: list[tuple[str, int]] = []

    def put_metric_data(self, **request: Any) -> None:
        self.data.append((request["Namespace"], len(request["MetricData"])))


class Follower:
    def __init__(self, *names: str) -> None:
        self.service = LogsService()
        self.metrics = Metrics()
        self.printed: list[str] = []
        self.functions = [function(name) for name in names]
        self.logs = LogFollower(self.functions, self.service, self.metrics, self.printed.append)

    def texts(self) -> list[str]:
        return [line.split()[-1] for line in self.printed]


def test_prints_each_line_once() -> None:
    follower = Follower("Heartbeat")
    follower.service.write("/groups/Heartbeat", "one")

    follower.logs.poll()
    follower.logs.poll()
    follower.service.write("/groups/Heartbeat", "two")
    follower.logs.poll()

    assert follower.texts() == ["one", "two"]
    assert " heartbeat " in follower.printed[0]


def test_prints_all_of_several_equal_lines() -> None:
    follower = Follower("Heartbeat")
    follower.service.write("/groups/Heartbeat", "same")
    follower.service.events["/groups/Heartbeat"] *= 2
    follower.logs.poll()
    follower.service.events["/groups/Heartbeat"] += follower.service.events["/groups/Heartbeat"][:1]
    follower.logs.poll()

    assert follower.texts() == ["same"] * 3


def test_prints_a_line_that_arrives_late() -> None:
    follower = Follower("Heartbeat")
    # As if the follower had started ten seconds ago.
    follower.logs._since["/groups/Heartbeat"] -= 10_000
    follower.service.write("/groups/Heartbeat", "first")
    follower.logs.poll()
    follower.service.write("/groups/Heartbeat", "late", lag_ms=2000)
    follower.logs.poll()

    assert follower.texts() == ["first", "late"]


def test_does_not_print_lines_from_before_the_start() -> None:
    follower = Follower("Heartbeat")
    follower.service.write("/groups/Heartbeat", "old", lag_ms=60_000)

    follower.logs.poll()

    assert follower.printed == []


def test_sorts_lines_of_several_functions_by_time() -> None:
    follower = Follower("Providers", "Heartbeat")
    for group in follower.logs._since:
        follower.logs._since[group] -= 10_000
    follower.service.write("/groups/Providers", "second")
    follower.service.write("/groups/Heartbeat", "first", lag_ms=1000)

    follower.logs.poll()

    assert follower.texts() == ["first", "second"]


def test_prints_one_line_for_a_wrong_token_over_two_polls() -> None:
    follower = Follower("Authorizer")
    follower.service.write("/groups/Authorizer", "Traceback (most recent call last):")
    follower.service.write("/groups/Authorizer", '  File "app.py", line 52, in handler')
    follower.logs.poll()
    follower.service.write("/groups/Authorizer", "Exception: Unauthorized")
    follower.logs.poll()

    [line] = follower.printed
    assert line.endswith("A request with a wrong token was rejected with 401.")


def test_publishes_embedded_metrics_without_printing_them() -> None:
    follower = Follower("Heartbeat")
    directive = {"Namespace": "N", "Dimensions": [[]], "Metrics": [{"Name": "Beats"}, {"Name": "Ticks"}]}
    line = {"_aws": {"Timestamp": 1_790_000_000_000, "CloudWatchMetrics": [directive]}, "Beats": 1, "Ticks": 2}
    follower.service.write("/groups/Heartbeat", json.dumps(line))

    follower.logs.poll()
    follower.logs.poll()

    assert follower.metrics.data == [("N", 2)]
    assert follower.printed == []


def test_writes_lines_of_streaming_workers_to_their_log_group() -> None:
    follower = Follower("Completions")

    def print_lines() -> None:
        for text in ("one", "", "two"):
            follower.logs.add(follower.functions[0], text)

    worker = threading.Thread(target=print_lines)
    worker.start()
    worker.join()

    follower.logs.poll()
    follower.logs.add(follower.functions[0], "three")
    follower.logs.poll()

    assert follower.texts() == ["one", "two", "three"]
    assert len(follower.service.streams) == 1
    assert [event["message"] for event in follower.service.events["/groups/Completions"]] == [
        "one",
        " ",
        "two",
        "three",
    ]


def test_reports_an_error_once_and_continues() -> None:
    follower = Follower("Heartbeat")
    follower.service.broken = True

    async def follow_until(condition: Callable[[], bool]) -> None:
        following = asyncio.create_task(follower.logs.follow(interval_s=0.01))
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        following.cancel()

    asyncio.run(follow_until(lambda: len(follower.printed) == 1))
    assert follower.printed[0].startswith("The logs cannot be read: ")
    follower.service.broken = False
    follower.service.write("/groups/Heartbeat", "again")
    asyncio.run(follow_until(lambda: len(follower.printed) == 2))
    assert follower.texts()[1] == "again"
