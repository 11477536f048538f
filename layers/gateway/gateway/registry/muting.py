"""The time until which a provider is muted: its text form and its limits."""

import re
from datetime import datetime, timedelta

from pydantic_core import PydanticCustomError

from gateway.core.errors import InvalidRequest

MAX_MUTE = timedelta(days=30)
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse_muted_until(value: object) -> datetime | None:
    """Parses an RFC 3339 time. Null ends the mute. Raises PydanticCustomError."""
    if value is None:
        return None
    try:
        if isinstance(value, str) and RFC_3339.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        pass
    raise PydanticCustomError("invalid_time", "Send a time with its zone, such as 2026-01-02T05:00:00Z")


def check_muted_until(until: datetime, now: datetime) -> None:
    """Raises InvalidRequest unless the mute ends within the next 30 days."""
    if until <= now:
        message = "muted_until is in the past. Send a later time, or null to end the mute."
    elif until > now + MAX_MUTE:
        message = f"muted_until is more than {MAX_MUTE.days} days ahead. Send an earlier time, and extend it later."
    else:
        return
    raise InvalidRequest(message, param="muted_until")
