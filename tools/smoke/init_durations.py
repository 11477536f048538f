"""Reports how long the deployed functions' cold starts took: the `Init Duration` of their REPORT lines."""

import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.local import log_format
from tools.local.settings import UserError
from tools.ops.log_search import FUNCTION_GROUPS, log_groups
from tools.ops.trace import find_clients

HOURS = 24
# The functions' log groups by logical id.
FUNCTIONS = FUNCTION_GROUPS | {"HeartbeatLogs": "heartbeat"}
# The template selects JSON. Lambda's text format has the other name.
FILTER = '?initDurationMs ?"Init Duration"'
TEXT_FORMAT = re.compile(r"REPORT RequestId: .*\tInit Duration: (\d+(?:\.\d+)?) ms")
# A search of busy log groups would page for minutes. CloudWatch returns the oldest lines first.
MAX_SEARCH_S = 30.0
NO_LINES = f"Init durations: skipped. No REPORT line of the last {HOURS} hours has an Init Duration."


def init_duration_ms(message: str) -> float | None:
    """Returns the milliseconds of a cold start's REPORT line, in JSON or text. Returns None for all other lines.

    https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-report
    """
    line = log_format.parse(message)
    if isinstance(line, str):
        match = TEXT_FORMAT.match(line)
        return float(match[1]) if match else None
    if line.get("type") != "platform.report":
        return None
    duration = line["record"]["metrics"].get("initDurationMs")
    return None if duration is None else float(duration)


def describe_init_durations(environment: str, clients: Callable[[str], tuple[Any, Any, str]] = find_clients) -> str:
    """Returns a table by function, or one sentence with the reason why there is none.

    `clients` returns the boto3 clients of CloudFormation and CloudWatch Logs and the stack's name.
    """
    try:
        cloudformation, logs, stack = clients(environment)
        groups = log_groups(cloudformation, stack)
        durations = {
            function: list(_durations(logs, groups[logical_id]))
            for logical_id, function in FUNCTIONS.items()
            if logical_id in groups
        }
    except (UserError, BotoCoreError, ClientError) as error:
        return f"Init durations: skipped. The logs of ENV={environment} cannot be read: {error}"
    return _table(durations) if any(durations.values()) else NO_LINES


def _durations(logs: Any, group: str) -> Iterator[float]:
    start_ms = int((time.time() - HOURS * 3600) * 1000)
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=start_ms, filterPattern=FILTER
    )
    end = time.monotonic() + MAX_SEARCH_S / len(FUNCTIONS)
    for page in pages:
        yield from filter(None, (init_duration_ms(event["message"]) for event in page["events"]))
        if time.monotonic() > end:
            return


def _table(durations: Mapping[str, list[float]]) -> str:
    rows = [
        f"| {function} | {len(values)} | {statistics.median(values):.0f} | {max(values):.0f} |"
        for function, values in durations.items()
        if values
    ]
    head = f"| Init Duration of the last {HOURS} hours | Cold starts | Median, ms | Maximum, ms |"
    return "\n".join([head, "|---|---:|---:|---:|", *rows])
