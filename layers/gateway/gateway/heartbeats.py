"""The heartbeats table: what each beat met, for seven days."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gateway.health import Outcome
from gateway.records import timestamp

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

KEPT = timedelta(days=7)


class Heartbeats:
    """The history of beats."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def add(self, provider_id: str, outcome: Outcome) -> None:
        """Keeps one outcome."""
        item: dict[str, Any] = {
            "provider_id": provider_id,
            "at": timestamp(outcome.started_at),
            "good": outcome.error is None,
            "error": outcome.error,
            "latency_ms": outcome.latency_ms,
            "ttft_ms": outcome.ttft_ms,
            "model": outcome.model,
            "tokens": outcome.tokens,
            "expires_at": int((outcome.started_at + KEPT).timestamp()),
        }
        self._table.put_item(Item={name: value for name, value in item.items() if value is not None})
