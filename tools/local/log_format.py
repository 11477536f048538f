"""Parses a function's log lines: formats them for the terminal and extracts their embedded metrics."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
PLATFORM_PREFIXES = ("START RequestId:", "END RequestId:", "REPORT RequestId:")
# Fields that Powertools adds to every line, and fields that are shown elsewhere or are too long.
HIDDEN_FIELDS = {
    "cold_start", "exception", "function_arn", "function_memory_size", "function_name", "function_request_id", "level",
    "location", "message", "sampling_rate", "service", "stack_trace", "timestamp", "xray_trace_id",
}  # fmt: skip


def parse(message: str) -> dict[str, Any] | str:
    """Returns the JSON object of a log line, or the line itself if it has none."""
    try:
        value = json.loads(message)
    except ValueError:
        return message.rstrip()
    return value if isinstance(value, dict) else message.rstrip()


def format_line(timestamp_ms: int, function: str, line: dict[str, Any] | str, *, colour: bool = False) -> str | None:
    """Returns `time function LEVEL message key=value…`, or None for platform lines, metrics and traceback markers."""
    if isinstance(line, str):
        text, level = line, ""
        hidden = not line.strip(" ~^") or line.startswith(PLATFORM_PREFIXES)
    else:
        text, level = _text(line), str(line.get("level", ""))
        hidden = "_aws" in line or str(line.get("type", "")).startswith("platform.")
    if hidden:
        return None
    time = datetime.fromtimestamp(timestamp_ms / 1000).astimezone().strftime("%H:%M:%S")
    level_column = f"{COLOURS[level]}{level:<7}\x1b[0m" if colour and level in COLOURS else f"{level:<7}"
    time_column = f"\x1b[2m{time}\x1b[0m" if colour else time
    return f"{time_column} {function:<12} {level_column} {_printable(text)}"


def _text(line: Mapping[str, Any]) -> str:
    message = line.get("message", "")
    parts = [message if isinstance(message, str) else json.dumps(message)]
    shown = {name: value for name, value in line.items() if name not in HIDDEN_FIELDS and value is not None}
    parts += [f"{name}={_format_value(value)}" for name, value in shown.items()]
    if exception := str(line.get("exception", "")).strip():
        parts.append(exception.splitlines()[-1])
    return " ".join(part for part in parts if part)


def _printable(text: str) -> str:
    """Replaces control characters by spaces: clients choose part of the text and could send terminal escapes."""
    return "".join(character if character.isprintable() else " " for character in text)


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) and value.split() == [value] else json.dumps(value)


def embedded_metrics(line: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (namespace, datum for PutMetricData) for each metric of a line in CloudWatch's embedded metric format."""
    metadata = line.get("_aws", {})
    timestamp = datetime.fromtimestamp(metadata.get("Timestamp", 0) / 1000).astimezone()
    for directive in metadata.get("CloudWatchMetrics", []):
        for names in directive.get("Dimensions") or [[]]:
            dimensions = [{"Name": name, "Value": str(line[name])} for name in names if name in line]
            for metric in directive.get("Metrics", []):
                if metric["Name"] in line:
                    datum = {"MetricName": metric["Name"], "Unit": metric.get("Unit", "None"), "Timestamp": timestamp}
                    values = line[metric["Name"]]
                    values = values if isinstance(values, list) else [values]
                    yield directive["Namespace"], datum | {"Dimensions": dimensions, "Values": values}
