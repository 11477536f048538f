"""The commands that the heartbeat function accepts, and the JSON events that carry them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.registry.provider import format_timestamp


@dataclass(frozen=True, slots=True)
class Tick:
    """Check every enabled provider. The workflow sends this command twice for each of its starts."""

    started_at: datetime
    offset_seconds: int

    @property
    def slot(self) -> str:
        """Identifies the tick: the time at which it is due, as a timestamp."""
        return format_timestamp(self.started_at + timedelta(seconds=self.offset_seconds))


@dataclass(frozen=True, slots=True)
class FirstBeat:
    """Check a provider that was just registered, if its heartbeat is enabled. Nobody waits for the result."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class BeatNow:
    """Check a provider, even if its heartbeat is disabled, and return the result."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class ListModels:
    """Return the models that a provider lists."""

    provider_id: str


type Command = Tick | FirstBeat | BeatNow | ListModels


class UnknownCommand(ValueError):
    """The event has none of the known shapes."""

    def __init__(self) -> None:
        super().__init__(
            "The event is not a heartbeat command. "
            "Send tick and offset_seconds, or provider_id with at most one of now and models set to true."
        )


def parse_event(event: Mapping[str, object]) -> Command:
    """Returns the command that an event carries. Raises UnknownCommand."""
    match event:
        case {"tick": str(tick), "offset_seconds": int(seconds), **rest} if not rest:
            return Tick(_parse_time(tick), seconds)
        case {"provider_id": str(provider_id), "now": True, **rest} if not rest:
            return BeatNow(provider_id)
        case {"provider_id": str(provider_id), "models": True, **rest} if not rest:
            return ListModels(provider_id)
        case {"provider_id": str(provider_id), **rest} if not rest:
            return FirstBeat(provider_id)
    raise UnknownCommand


def to_json(command: FirstBeat | BeatNow | ListModels) -> str:
    """Returns the payload of an invocation that `parse_event` reads as this command."""
    match command:
        case FirstBeat(provider_id):
            event: dict[str, object] = {"provider_id": provider_id}
        case BeatNow(provider_id):
            event = {"provider_id": provider_id, "now": True}
        case ListModels(provider_id):
            event = {"provider_id": provider_id, "models": True}
    return json.dumps(event)


def _parse_time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UnknownCommand from None
