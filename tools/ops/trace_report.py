"""Describes one or more requests from their log lines: when each step happened, sizes and ids. Never a body."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tools.local import log_format
from tools.ops.log_search import Line


def format_trace(lines: Sequence[Line]) -> str:
    """Returns a section for each request, oldest first: its steps, then its log lines."""
    requests: dict[str, list[Line]] = {}
    for line in lines:
        requests.setdefault(line.request_id or "?", []).append(line)
    return "\n\n".join(_section(request_id, own) for request_id, own in requests.items())


def _section(request_id: str, lines: Sequence[Line]) -> str:
    steps = [step for line in lines if line.content.get("message") == "request" for step in _steps(line)]
    return "\n".join([f"Request {request_id}", *steps, "Log lines:", *map(_log_line, lines)])


def _steps(line: Line) -> Iterator[str]:
    """Yields the steps of a forwarded request in order, each with its milliseconds after the arrival."""
    entry = line.content
    duration = entry.get("duration_ms") or 0
    arrival = datetime.fromtimestamp((line.timestamp - duration) / 1000, UTC)
    yield f"  {arrival:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"
    yield _step("0 ms", "request", _request(entry))
    if entry.get("provider") is None:
        yield _step("", "provider", "the request was sent to no provider")
    else:
        waited = entry.get("provider_ms")
        head = "no response" if waited is None else f"its response began {waited} ms after it was sent"
        yield _step("", "provider", f"{entry['provider']}: {head}")
    if (first := entry.get("ttfb_ms")) is not None:
        yield _step(f"{first} ms", "first byte", "sent to the client")
    yield _step(f"{duration} ms", "end", _answer(entry))


def _step(time: str, name: str, text: str) -> str:
    return f"  {time:>10}  {name:<10}  {text}"


def _request(entry: Mapping[str, Any]) -> str:
    parts = [
        f"{entry.get('path')}",
        _size(entry, "request_bytes"),
        "stream" if entry.get("stream") else "no stream",
        _named(entry, "model", "model_asked"),
        _named(entry, "the caller's id", "client_request_id"),
    ]
    return _join(parts)


def _answer(entry: Mapping[str, Any]) -> str:
    parts = [
        f"status {entry.get('status')}",
        _named(entry, "code", "code"),
        _named(entry, "stream ended", "stream_end"),
        _size(entry, "bytes"),
        _named(entry, "chunks", "chunks"),
        _named(entry, "model", "model_served"),
        _named(entry, "prompt tokens", "prompt_tokens"),
        _named(entry, "completion tokens", "completion_tokens"),
        _named(entry, "id", "response_id"),
    ]
    return _join(parts)


def _size(entry: Mapping[str, Any], name: str) -> str:
    return "" if entry.get(name) is None else f"{entry[name]:,} bytes"


def _named(entry: Mapping[str, Any], label: str, name: str) -> str:
    return "" if entry.get(name) is None else f"{label} {entry[name]}"


def _join(parts: Sequence[str]) -> str:
    text = ", ".join(part for part in parts if part)
    return "".join(character if character.isprintable() else " " for character in text)


def _log_line(line: Line) -> str:
    if line.source == "access log":
        fields = " ".join(f"{name}={value}" for name, value in line.content.items() if value != "-")
        return f"  access log: {_join([fields])}"
    return f"  {log_format.format_line(line.timestamp, line.source, line.content)}"
