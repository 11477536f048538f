"""Changes of health as events on the account's default EventBridge bus."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.heartbeat.health import RecordedBeat
from gateway.registry.provider import format_timestamp

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "tokenhub-gateway"
DETAIL_TYPE = "Provider Health Changed"
MAX_AT_ONCE = 10  # PutEvents takes no more


def publish(events: "EventBridgeClient", changes: Sequence[RecordedBeat]) -> list[RecordedBeat]:
    """Tells of up to ten changes of status. Returns those that were not taken: the answer is 200 all the same."""
    entries: list[Any] = [{"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": _detail(each)} for each in changes]
    answers = events.put_events(Entries=entries)["Entries"]
    return [change for change, answer in zip(changes, answers, strict=True) if "ErrorCode" in answer]


def _detail(change: RecordedBeat) -> str:
    health = change.after
    times = {"changed_at": health.status_changed_at, "last_heartbeat_at": health.last_heartbeat_at}
    told = {
        "id": change.before.id,
        "name": change.before.name,
        "old_status": change.before.health.status,
        "new_status": health.status,
        "error": health.last_heartbeat_error,
    }
    return json.dumps(told | {name: None if at is None else format_timestamp(at) for name, at in times.items()})
