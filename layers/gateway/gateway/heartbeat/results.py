"""The results that the heartbeat function returns to the provider API.

They are apart from `client`, because the heartbeat function does not load boto3.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from gateway.core.errors import GatewayError
from gateway.heartbeat.history import PastBeat
from gateway.registry.provider import format_timestamp, parse_timestamp


def relay_errors(work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the result of `work`, or the GatewayError that it raised as plain data. For the heartbeat function."""
    try:
        return dict(work())
    except GatewayError as error:
        return {"error": error.to_dict()}


def serialize_beat(beat: PastBeat) -> dict[str, Any]:
    """Returns the heartbeat as plain data for JSON."""
    return asdict(beat) | {"at": format_timestamp(beat.at)}


def deserialize_beat(values: Mapping[str, Any]) -> PastBeat:
    """Returns the heartbeat that `serialize_beat` serialized."""
    return PastBeat(**{**values, "at": parse_timestamp(values["at"])})
