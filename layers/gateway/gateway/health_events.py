"""A change of health as one event on the account's default EventBridge bus."""

import json
from typing import TYPE_CHECKING

from gateway.records import Health, Provider, timestamp

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "tokenhub-gateway"
DETAIL_TYPE = "Provider Health Changed"


def publish(events: "EventBridgeClient", before: Provider, after: Health) -> None:
    """Tells that a provider's status changed: id, old and new status, the error and the times."""
    changed_at = after.status_changed_at
    detail = {
        "id": before.id,
        "name": before.name,
        "old_status": before.health.status,
        "new_status": after.status,
        "error": after.last_heartbeat_error,
        "changed_at": None if changed_at is None else timestamp(changed_at),
    }
    entry = {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": json.dumps(detail)}
    answer = events.put_events(Entries=[entry])  # type: ignore[list-item]  # a plain dict is what boto3 takes
    if answer["FailedEntryCount"]:  # PutEvents answers 200 all the same
        raise RuntimeError(f"EventBridge did not take the event: {answer['Entries'][0].get('ErrorCode')}")
