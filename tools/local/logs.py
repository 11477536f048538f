"""Follows the functions' log groups: prints readable lines, and turns embedded metrics into metrics."""

import asyncio
import queue
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.local import log_lines
from tools.local.deployed import Function

EVERY_S = 1.0
OVERLAP_MS = 5000  # lines may come in later than their time says


class Logs:
    """The logs of one deployment. What streaming workers print goes through their log groups too: one path."""

    def __init__(
        self,
        functions: Iterable[Function],
        logs: Any,
        cloudwatch: Any,
        show: Callable[[str], None],
        *,
        colour: bool = False,
    ) -> None:
        self._names = {f.log_group: f.logical_id.removesuffix("Function").lower() for f in functions}
        self._logs = logs
        self._cloudwatch = cloudwatch
        self._show = show
        self._colour = colour
        self._since = {group: int(time.time() * 1000) for group in self._names}
        self._seen: dict[str, Counter[tuple[str, int, str]]] = {group: Counter() for group in self._names}
        self._added: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self._streams: dict[str, str] = {}

    def add(self, function: Function, line: str) -> None:
        """Take a line that a streaming worker printed. Never blocks; any thread may call it."""
        self._added.put((function.log_group, {"timestamp": int(time.time() * 1000), "message": line or " "}))

    async def follow(self, every_s: float = EVERY_S) -> None:
        """Until cancelled."""
        trouble = ""
        while True:
            try:
                await asyncio.to_thread(self.poll)
                trouble = ""
            except (BotoCoreError, ClientError) as error:
                if str(error) != trouble:
                    trouble = str(error)
                    self._show(f"The logs cannot be read: {trouble}")
            await asyncio.sleep(every_s)

    def poll(self) -> None:
        """Pass on what was added, then show what is new."""
        self._pass_on()
        data: dict[str, list[dict[str, Any]]] = defaultdict(list)
        fresh = [(event, name) for group, name in self._names.items() for event in self._fresh(group)]
        for event, name in sorted(fresh, key=lambda found: found[0]["timestamp"]):
            line = log_lines.parse(event["message"])
            if isinstance(line, dict):
                for namespace, datum in log_lines.metrics(line):
                    data[namespace].append(datum)
            if text := log_lines.readable(event["timestamp"], name, line, colour=self._colour):
                self._show(text)
        for namespace, found in data.items():
            for start in range(0, len(found), 500):  # PutMetricData takes 1,000
                self._cloudwatch.put_metric_data(Namespace=namespace, MetricData=found[start : start + 500])

    def _fresh(self, group: str) -> list[dict[str, Any]]:
        """The events of a group that were not there the last time."""
        since = self._since[group] - OVERLAP_MS if self._seen[group] else self._since[group]
        events = self._logs.filter_log_events(logGroupName=group, startTime=since)["events"]
        before, now = self._seen[group], Counter[tuple[str, int, str]]()
        fresh = []
        for event in events:
            key = (event["logStreamName"], event["timestamp"], event["message"])
            now[key] += 1
            if now[key] > before[key]:
                fresh.append(event)
        if events:
            self._since[group], self._seen[group] = events[-1]["timestamp"], now
        return fresh

    def _pass_on(self) -> None:
        events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        while not self._added.empty():
            group, event = self._added.get()
            events[group].append(event)
        for group, lines in events.items():
            self._logs.put_log_events(logGroupName=group, logStreamName=self._stream(group), logEvents=lines)

    def _stream(self, group: str) -> str:
        if group not in self._streams:
            name = f"{datetime.now(UTC):%Y/%m/%d}/[streaming]{uuid.uuid4().hex}"
            self._logs.create_log_stream(logGroupName=group, logStreamName=name)
            self._streams[group] = name
        return self._streams[group]
