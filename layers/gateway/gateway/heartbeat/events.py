"""Publishes changes of a provider's status on the account's default EventBridge bus."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.heartbeat.health import RecordedBeat
from gateway.registry.provider import format_timestamp

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "tokenhub-gateway"
DETAIL_TYPE = "Provider Health Changed"
# The limit of PutEvents.
MAX_EVENTS_PER_CALL = 10


def publish(events: "EventBridgeClient", changes: Sequence[RecordedBeat]) -> list[RecordedBeat]:
    """Publishes up to ten changes of status in one call and returns those that EventBridge rejected.

    PutEvents answers 200 even when it rejects entries.
    """
    entries: list[Any] = [{"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": _detail(each)} for each in changes]
    results = events.put_events(Entries=entries)["Entries"]
    return [change for change, result in zip(changes, results, strict=True) if "ErrorCode" in result]


def _detail(change: RecordedBeat) -> str:
    health = change.after
    times = {"changed_at": health.status_changed_at, "last_heartbeat_at": health.last_heartbeat_at}
    detail = {
        "id": change.before.id,
        "name": change.before.name,
        "old_status": change.before.health.status,
        "new_status": health.status,
        "error": health.last_heartbeat_error,
    }
    return json.dumps(detail | {name: None if at is None else format_timestamp(at) for name, at in times.items()})
