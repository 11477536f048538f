"""Publishes changes of a provider's status and of its warning on the account's default EventBridge bus."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING, Any

from gateway.heartbeat.health import RecordedBeat
from gateway.registry.provider import format_timestamp

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "tokenhub-gateway"
DETAIL_TYPE = "Provider Health Changed"
WARNING_DETAIL_TYPE = "Provider Warning Changed"
# The limit of PutEvents.
MAX_EVENTS_PER_CALL = 10


def publish(events: "EventBridgeClient", changes: Sequence[RecordedBeat]) -> list[RecordedBeat]:
    """Publishes the events of heartbeats, ten in a call, and returns the heartbeat of each one that was rejected.

    PutEvents answers 200 even when it rejects entries.
    """
    rejected: list[RecordedBeat] = []
    pairs = [(change, entry) for change in changes for entry in _entries(change)]
    for batch in batched(pairs, MAX_EVENTS_PER_CALL, strict=False):
        results = events.put_events(Entries=[entry for _, entry in batch])["Entries"]
        rejected += [change for (change, _), result in zip(batch, results, strict=True) if "ErrorCode" in result]
    return rejected


def _entries(change: RecordedBeat) -> Iterator[Any]:
    health = change.after
    provider = {"id": change.before.id, "name": change.before.name}
    last = {"last_heartbeat_at": _optional_timestamp(health.last_heartbeat_at)}
    planned = {"planned": change.outcome.planned}
    if change.status_changed or change.mute_ended:
        statuses = {"old_status": change.before.health.status, "new_status": health.status}
        error = {"error": health.last_heartbeat_error, "changed_at": _optional_timestamp(health.status_changed_at)}
        yield _entry(DETAIL_TYPE, provider | statuses | error | last | planned)
    if change.warning_changed:
        status = {"status": health.status, "warning": health.last_heartbeat_warning}
        yield _entry(WARNING_DETAIL_TYPE, provider | status | last | planned)


def _entry(detail_type: str, detail: dict[str, Any]) -> dict[str, Any]:
    return {"Source": SOURCE, "DetailType": detail_type, "Detail": json.dumps(detail)}


def _optional_timestamp(at: datetime | None) -> str | None:
    return None if at is None else format_timestamp(at)
