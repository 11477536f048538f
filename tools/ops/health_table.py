"""Formats the providers of a gateway as a table for the terminal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Provider = Mapping[str, Any]

HEADINGS = ("PROVIDER", "STATUS", "SINCE", "LAST BEAT", "LATENCY", "ERROR")
COLOURS = {"failed": "\x1b[31m", "stale": "\x1b[33m", "pending": "\x1b[33m", "healthy": "\x1b[32m"}
RESET = "\x1b[0m"
STATES = tuple(COLOURS)
GAP = "  "
MIN_ERROR_CHARACTERS = 12


def state(provider: Provider) -> str:
    """Returns the status, or `stale` for one that is out of date although heartbeats are enabled.

    The gateway decides what is stale: docs/health.md.
    """
    is_stale = provider["stale"] and provider["heartbeat"]["enabled"] and provider["status"] != "failed"
    return "stale" if is_stale else str(provider["status"])


def needs_attention(providers: Sequence[Provider]) -> bool:
    """Whether a provider is failed or stale."""
    return any(state(provider) in ("failed", "stale") for provider in providers)


def format_table(providers: Sequence[Provider], now: datetime, *, width: int | None, colour: bool) -> str:
    """Returns the table, the failed providers first. Cuts errors to `width` columns, or not at all for None."""
    if not providers:
        return "No provider is registered."
    ordered = sorted(providers, key=lambda provider: (_severity(provider), provider["id"]))
    rows = [HEADINGS, *(_row(provider, now) for provider in ordered)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    colours = ["", *(COLOURS.get(state(provider), "") if colour else "" for provider in ordered)]
    return "\n".join(_line(row, widths, width, painted) for row, painted in zip(rows, colours, strict=True))


def _severity(provider: Provider) -> int:
    return STATES.index(state(provider)) if state(provider) in STATES else 0


def _row(provider: Provider, now: datetime) -> tuple[str, ...]:
    status = state(provider)
    if status == "stale":
        status = f"{provider['status']}, stale"
    elif not provider["heartbeat"]["enabled"]:
        status = f"{provider['status']}, beats off"
    if provider.get("muted_until"):
        status += f", muted for {_duration((datetime.fromisoformat(provider['muted_until']) - now).total_seconds())}"
    latency = provider["last_heartbeat_latency_ms"]
    return (
        _printable(provider["id"]),
        _printable(status),
        _age(provider["status_changed_at"], now),
        _age(provider["last_heartbeat_at"], now),
        "-" if latency is None else f"{latency} ms",
        _printable(provider["last_heartbeat_error"] or ""),
    )


def _line(row: Sequence[str], widths: Sequence[int], width: int | None, colour: str) -> str:
    cells = [cell.ljust(size) for cell, size in zip(row, widths, strict=False)]
    if colour:
        cells[1] = f"{colour}{cells[1]}{RESET}"
    left = sum(widths) + len(GAP) * len(widths)
    error = row[-1] if width is None else _cut(row[-1], max(width - left, MIN_ERROR_CHARACTERS))
    return GAP.join([*cells, error]).rstrip()


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def _age(timestamp: str | None, now: datetime) -> str:
    """Returns the time since a timestamp."""
    if timestamp is None:
        return "-"
    return _duration((now.astimezone(UTC) - datetime.fromisoformat(timestamp)).total_seconds())


def _duration(seconds: float) -> str:
    """Returns a duration in its largest unit, such as 12 s or 3 h."""
    seconds = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _printable(text: str) -> str:
    """Replaces control characters by spaces: TokenHub's text could send terminal escapes."""
    return "".join(character if character.isprintable() else " " for character in text)
