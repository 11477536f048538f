"""What is made of a function's log lines: one readable line, or metrics. Pure."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
PLATFORM = ("START RequestId:", "END RequestId:", "REPORT RequestId:")
# What Powertools adds to every line, and what would make it long.
UNSHOWN = {
    "cold_start", "exception", "function_arn", "function_memory_size", "function_name", "function_request_id", "level",
    "location", "message", "sampling_rate", "service", "stack_trace", "timestamp", "xray_trace_id",
}  # fmt: skip


def parse(message: str) -> dict[str, Any] | str:
    """The object that a line is, or the line."""
    try:
        found = json.loads(message)
    except ValueError:
        return message.rstrip()
    return found if isinstance(found, dict) else message.rstrip()


def readable(at_ms: int, function: str, line: dict[str, Any] | str, *, colour: bool = False) -> str | None:
    """`time function LEVEL message key=value…`; None for what nobody wants to see."""
    if isinstance(line, str):
        text, level = line, ""
        shown = bool(line.strip(" ~^")) and not line.startswith(PLATFORM)
    else:
        text, level = _text(line), str(line.get("level", ""))
        shown = "_aws" not in line and not str(line.get("type", "")).startswith("platform.")
    if not shown:
        return None
    clock = datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%H:%M:%S")
    level_shown = f"{COLOURS[level]}{level:<7}\x1b[0m" if colour and level in COLOURS else f"{level:<7}"
    clock_shown = f"\x1b[2m{clock}\x1b[0m" if colour else clock
    return f"{clock_shown} {function:<12} {level_shown} {_plain(text)}"


def _text(line: Mapping[str, Any]) -> str:
    message = line.get("message", "")
    parts = [message if isinstance(message, str) else json.dumps(message)]
    parts += [f"{name}={_value(value)}" for name, value in line.items() if name not in UNSHOWN and value is not None]
    if exception := str(line.get("exception", "")).strip():
        parts.append(exception.splitlines()[-1])
    return " ".join(part for part in parts if part)


def _plain(text: str) -> str:
    """Without what a terminal obeys: a client's words are in it."""
    return "".join(character if character.isprintable() else " " for character in text)


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value.split() == [value] else json.dumps(value)


def metrics(line: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(namespace, datum for PutMetricData) of each metric in a line of CloudWatch's embedded metric format."""
    header = line.get("_aws", {})
    at = datetime.fromtimestamp(header.get("Timestamp", 0) / 1000).astimezone()
    for directive in header.get("CloudWatchMetrics", []):
        for names in directive.get("Dimensions") or [[]]:
            dimensions = [{"Name": name, "Value": str(line[name])} for name in names if name in line]
            for metric in directive.get("Metrics", []):
                if metric["Name"] in line:
                    datum = {"MetricName": metric["Name"], "Unit": metric.get("Unit", "None"), "Timestamp": at}
                    values = line[metric["Name"]]
                    values = values if isinstance(values, list) else [values]
                    yield directive["Namespace"], datum | {"Dimensions": dimensions, "Values": values}
