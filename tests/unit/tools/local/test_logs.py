import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import EndpointConnectionError

from tools.local.deployed import Function
from tools.local.logs import Logs


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
    """CloudWatch Logs as the code uses it; `lag_ms` makes new events look older than they are."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.streams: set[tuple[str, str]] = set()
        self.broken = False

    def write(self, group: str, message: str, *, stream: str = "s", lag_ms: int = 0) -> None:
        at = int(time.time() * 1000) - lag_ms
        self.events.setdefault(group, []).append({"logStreamName": stream, "timestamp": at, "message": message})

    def filter_log_events(self, **asked: Any) -> dict[str, Any]:
        if self.broken:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        group = self.events.get(asked["logGroupName"], [])
        found = [event for event in group if event["timestamp"] >= asked["startTime"]]
        return {"events": sorted(found, key=lambda event: event["timestamp"])}

    def create_log_stream(self, **asked: str) -> None:
        self.streams.add((asked["logGroupName"], asked["logStreamName"]))

    def put_log_events(self, **asked: Any) -> None:
        group, stream = asked["logGroupName"], asked["logStreamName"]
        assert (group, stream) in self.streams
        self.events.setdefault(group, []).extend(event | {"logStreamName": stream} for event in asked["logEvents"])


class Metrics:
    def __init__(self) -> None:
        self.data: list[tuple[str, int]] = []

    def put_metric_data(self, **asked: Any) -> None:
        self.data.append((asked["Namespace"], len(asked["MetricData"])))


class Followed:
    def __init__(self, *names: str) -> None:
        self.service = LogsService()
        self.metrics = Metrics()
        self.shown: list[str] = []
        self.functions = [function(name) for name in names]
        self.logs = Logs(self.functions, self.service, self.metrics, self.shown.append)

    def texts(self) -> list[str]:
        return [line.split()[-1] for line in self.shown]


def test_each_line_is_shown_once() -> None:
    followed = Followed("Heartbeat")
    followed.service.write("/groups/Heartbeat", "one")

    followed.logs.poll()
    followed.logs.poll()
    followed.service.write("/groups/Heartbeat", "two")
    followed.logs.poll()

    assert followed.texts() == ["one", "two"]
    assert " heartbeat " in followed.shown[0]


def test_equal_lines_are_all_shown() -> None:
    followed = Followed("Heartbeat")
    followed.service.write("/groups/Heartbeat", "same")
    followed.service.events["/groups/Heartbeat"] *= 2
    followed.logs.poll()
    followed.service.events["/groups/Heartbeat"] += followed.service.events["/groups/Heartbeat"][:1]
    followed.logs.poll()

    assert followed.texts() == ["same"] * 3


def test_a_line_that_comes_in_late_is_shown() -> None:
    followed = Followed("Heartbeat")
    followed.logs._since["/groups/Heartbeat"] -= 10_000  # begun ten seconds ago
    followed.service.write("/groups/Heartbeat", "first")
    followed.logs.poll()
    followed.service.write("/groups/Heartbeat", "late", lag_ms=2000)
    followed.logs.poll()

    assert followed.texts() == ["first", "late"]


def test_what_was_there_before_the_start_is_not_shown() -> None:
    followed = Followed("Heartbeat")
    followed.service.write("/groups/Heartbeat", "old", lag_ms=60_000)

    followed.logs.poll()

    assert followed.shown == []


def test_lines_of_several_functions_come_in_order_of_time() -> None:
    followed = Followed("Providers", "Heartbeat")
    for group in followed.logs._since:
        followed.logs._since[group] -= 10_000
    followed.service.write("/groups/Providers", "second")
    followed.service.write("/groups/Heartbeat", "first", lag_ms=1000)

    followed.logs.poll()

    assert followed.texts() == ["first", "second"]


def test_embedded_metrics_become_metrics_and_are_not_shown() -> None:
    followed = Followed("Heartbeat")
    directive = {"Namespace": "N", "Dimensions": [[]], "Metrics": [{"Name": "Beats"}, {"Name": "Ticks"}]}
    line = {"_aws": {"Timestamp": 1_790_000_000_000, "CloudWatchMetrics": [directive]}, "Beats": 1, "Ticks": 2}
    followed.service.write("/groups/Heartbeat", json.dumps(line))

    followed.logs.poll()
    followed.logs.poll()

    assert followed.metrics.data == [("N", 2)]
    assert followed.shown == []


def test_lines_of_streaming_workers_take_the_same_path_in_their_order() -> None:
    followed = Followed("Completions")

    def print_lines() -> None:
        for text in ("one", "", "two"):
            followed.logs.add(followed.functions[0], text)

    worker = threading.Thread(target=print_lines)
    worker.start()
    worker.join()

    followed.logs.poll()
    followed.logs.add(followed.functions[0], "three")
    followed.logs.poll()

    assert followed.texts() == ["one", "two", "three"]
    assert len(followed.service.streams) == 1
    assert [event["message"] for event in followed.service.events["/groups/Completions"]] == [
        "one",
        " ",
        "two",
        "three",
    ]


def test_trouble_is_told_once_and_does_not_stop_it() -> None:
    followed = Followed("Heartbeat")
    followed.service.broken = True

    async def until(reached: Callable[[], bool]) -> None:
        following = asyncio.create_task(followed.logs.follow(every_s=0.01))
        async with asyncio.timeout(5):
            while not reached():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        following.cancel()

    asyncio.run(until(lambda: len(followed.shown) == 1))
    assert followed.shown[0].startswith("The logs cannot be read: ")
    followed.service.broken = False
    followed.service.write("/groups/Heartbeat", "again")
    asyncio.run(until(lambda: len(followed.shown) == 2))
    assert followed.texts()[1] == "again"
