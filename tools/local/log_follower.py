"""Follows the functions' log groups: prints each line once, and publishes embedded metrics to CloudWatch."""

import asyncio
import queue
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.local import log_format
from tools.local.deployment import Function
from tools.local.rejected_tokens import RejectedTokens

POLL_INTERVAL_S = 1.0
# Each poll reads this far back again, because a line may arrive later than its timestamp.
OVERLAP_MS = 5000
# PutMetricData accepts 1,000 data per call.
METRIC_BATCH = 500


class LogFollower:
    """Follows the logs of one deployment. `print_line` gets each new line.

    Streaming workers run outside the local AWS; `add` writes their output to the same log groups.
    """

    def __init__(
        self,
        functions: Iterable[Function],
        logs: Any,
        cloudwatch: Any,
        print_line: Callable[[str], None],
        *,
        colour: bool = False,
    ) -> None:
        self._names = {f.log_group: f.logical_id.removesuffix("Function").lower() for f in functions}
        self._logs = logs
        self._cloudwatch = cloudwatch
        self._print_line = print_line
        self._colour = colour
        self._since = {group: int(time.time() * 1000) for group in self._names}
        self._seen: dict[str, Counter[tuple[str, int, str]]] = {group: Counter() for group in self._names}
        self._added: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self._streams: dict[str, str] = {}
        self._rejected_tokens = RejectedTokens()

    def add(self, function: Function, line: str) -> None:
        """Queues a line that a streaming worker printed. Never blocks and is thread-safe."""
        self._added.put((function.log_group, {"timestamp": int(time.time() * 1000), "message": line or " "}))

    async def follow(self, interval_s: float = POLL_INTERVAL_S) -> None:
        """Polls until cancelled. Reports each new error once and continues."""
        last_error = ""
        while True:
            try:
                await asyncio.to_thread(self.poll)
                last_error = ""
            except (BotoCoreError, ClientError) as error:
                if str(error) != last_error:
                    last_error = str(error)
                    self._print_line(f"The logs cannot be read: {last_error}")
            await asyncio.sleep(interval_s)

    def poll(self) -> None:
        """Writes the queued lines to their log groups, then prints new lines and publishes their metrics."""
        self._write_added()
        metrics: dict[str, list[dict[str, Any]]] = defaultdict(list)
        new = [(event, name) for group, name in self._names.items() for event in self._new_events(group)]
        for event, name in sorted(new, key=lambda item: item[0]["timestamp"]):
            for message in self._rejected_tokens.shorten(f"{name} {event['logStreamName']}", event["message"]):
                line = log_format.parse(message)
                if isinstance(line, dict):
                    for namespace, datum in log_format.embedded_metrics(line):
                        metrics[namespace].append(datum)
                if text := log_format.format_line(event["timestamp"], name, line, colour=self._colour):
                    self._print_line(text)
        for namespace, data in metrics.items():
            for start in range(0, len(data), METRIC_BATCH):
                batch = data[start : start + METRIC_BATCH]
                self._cloudwatch.put_metric_data(Namespace=namespace, MetricData=batch)

    def _new_events(self, group: str) -> list[dict[str, Any]]:
        """Returns the events of a log group that the previous poll did not return."""
        since = self._since[group] - OVERLAP_MS if self._seen[group] else self._since[group]
        events = self._logs.filter_log_events(logGroupName=group, startTime=since)["events"]
        previous, current = self._seen[group], Counter[tuple[str, int, str]]()
        new = []
        for event in events:
            key = (event["logStreamName"], event["timestamp"], event["message"])
            current[key] += 1
            if current[key] > previous[key]:
                new.append(event)
        if events:
            self._since[group], self._seen[group] = events[-1]["timestamp"], current
        return new

    def _write_added(self) -> None:
        events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        while not self._added.empty():
            group, event = self._added.get()
            events[group].append(event)
        for group, lines in events.items():
            self._logs.put_log_events(logGroupName=group, logStreamName=self._stream(group), logEvents=lines)

    def _stream(self, group: str) -> str:
        """Returns this run's log stream in a log group, created at the first call."""
        if group not in self._streams:
            name = f"{datetime.now(UTC):%Y/%m/%d}/[streaming]{uuid.uuid4().hex}"
            self._logs.create_log_stream(logGroupName=group, logStreamName=name)
            self._streams[group] = name
        return self._streams[group]
