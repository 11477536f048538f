"""Searches the log groups of a stack for the lines of a request."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.local import log_format

# The log groups of the functions that answer requests, and of API Gateway, by logical id.
FUNCTION_GROUPS = {
    "CompletionsLogs": "completions",
    "ProvidersLogs": "providers",
    "PreflightLogs": "preflight",
    "AuthorizerLogs": "authorizer",
    "StatusLogs": "status",
}
ACCESS_GROUP = "AccessLogGroup"
ID_FIELDS = ("request_id", "client_request_id", "response_id")
# A search of a busy stack over a long time would page for minutes.
MAX_SEARCH_S = 60.0
# One id of a caller may belong to many requests, for example to retries.
MAX_REQUESTS = 20


@dataclass(frozen=True, order=True)
class Line:
    """One log line. `timestamp` is in milliseconds; `source` is the function or `access log`."""

    timestamp: int
    source: str
    content: dict[str, Any] = field(compare=False)

    @property
    def request_id(self) -> str | None:
        """API Gateway's id of the request."""
        value = self.content.get("requestId") if self.source == "access log" else self.content.get("request_id")
        return value if isinstance(value, str) else None

    def has_id(self, value: str) -> bool:
        """Whether one of the line's ids is this one."""
        return self.request_id == value or any(self.content.get(name) == value for name in ID_FIELDS)


class LogSearch:
    """Searches the log groups of one stack from `start_ms` on. `cloudformation` and `logs` are boto3 clients."""

    def __init__(
        self,
        cloudformation: Any,
        logs: Any,
        stack: str,
        start_ms: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_seconds: float = MAX_SEARCH_S,
    ) -> None:
        self._logs = logs
        self._start_ms = start_ms
        self._clock = clock
        self._end = clock() + max_seconds
        self._groups = log_groups(cloudformation, stack)
        # Whether the time limit ended the search.
        self.incomplete = False

    @property
    def has_access_logs(self) -> bool:
        return ACCESS_GROUP in self._groups

    def find(self, value: str) -> list[Line]:
        """Returns the lines of every request that has this id, in order. Raises botocore's errors."""
        matching = self._lines_with(value)
        request_ids = {line.request_id: None for line in sorted(matching) if line.request_id is not None}
        lines = {(line.timestamp, line.source, repr(line.content)): line for line in matching}
        for request_id in list(request_ids)[:MAX_REQUESTS]:
            for line in self._lines_with(request_id) if request_id != value else ():
                lines[line.timestamp, line.source, repr(line.content)] = line
        return sorted(lines.values())

    def _lines_with(self, value: str) -> list[Line]:
        sources = {**FUNCTION_GROUPS, ACCESS_GROUP: "access log"}
        return [
            line
            for logical_id, source in sources.items()
            if logical_id in self._groups
            for line in self._lines_of(self._groups[logical_id], source, value)
            if line.has_id(value)
        ]

    def _lines_of(self, group: str, source: str, value: str) -> Iterator[Line]:
        arguments = {"logGroupName": group, "startTime": self._start_ms, "filterPattern": f'"{value}"'}
        while True:
            page = self._logs.filter_log_events(**arguments)
            for event in page["events"]:
                content = log_format.parse(event["message"])
                if isinstance(content, dict):
                    yield Line(event["timestamp"], source, content)
            if "nextToken" not in page:
                return
            if self._clock() > self._end:
                self.incomplete = True
                return
            arguments["nextToken"] = page["nextToken"]


def log_groups(cloudformation: Any, stack: str) -> dict[str, str]:
    """Returns the names of the stack's log groups by logical id."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = (resource for page in pages for resource in page["StackResourceSummaries"])
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == "AWS::Logs::LogGroup"
    }
