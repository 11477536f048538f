"""Reads what the status page shows of all providers. The result has no endpoint, no key and no key fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway.registry.items import HEALTH_FIELDS, health_from_item
from gateway.registry.provider import Health, is_muted, is_stale, parse_timestamp
from gateway.registry.reader import REGISTRY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

# The function's role allows exactly these attributes (template.yaml, StatusRole), so it cannot read a key.
ATTRIBUTES = (
    "id",
    "name",
    "created_at",
    "heartbeat",
    "muted_until",
    "default_id",
    "status",
    "status_changed_at",
    "last_heartbeat_at",
    "last_heartbeat_latency_ms",
    "last_heartbeat_ttft_ms",
    "last_heartbeat_error",
    "last_heartbeat_warning",
    "failure_planned",
    "last_heartbeat_model",
    "consecutive_failures",
)
SHOWN_HEALTH = HEALTH_FIELDS & set(ATTRIBUTES)


@dataclass(frozen=True, slots=True)
class ProviderOverview:
    """A provider's name and health. `heartbeats` says whether its heartbeats are enabled."""

    id: str
    name: str
    created_at: datetime
    health: Health = field(default_factory=Health)
    heartbeats: bool = True
    default: bool = False
    muted_until: datetime | None = None

    def is_stale(self, now: datetime) -> bool:
        """Whether the last heartbeat is too old for the status to be current."""
        return is_stale(self.health.last_heartbeat_at or self.created_at, now)

    def is_muted(self, at: datetime) -> bool:
        """Whether failures at this moment raise no alarm."""
        return is_muted(self.muted_until, at)


class OverviewReader:
    """Reads the providers table without the attributes that hold keys and endpoints."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def all(self) -> list[ProviderOverview]:
        """Returns all providers, in no order. The read is eventually consistent, which costs half as much."""
        scan: dict[str, Any] = {
            "TableName": self._table.name,
            # ProjectionExpression implies this value. AWS does not document whether the implied value satisfies the
            # condition on dynamodb:Select in the role:
            # docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_examples_dynamodb_attributes.html.
            "Select": "SPECIFIC_ATTRIBUTES",
            # The placeholders avoid DynamoDB's reserved words.
            "ProjectionExpression": ", ".join(f"#{name}" for name in ATTRIBUTES),
            "ExpressionAttributeNames": {f"#{name}": name for name in ATTRIBUTES},
        }
        pages = self._table.meta.client.get_paginator("scan").paginate(**scan)
        items: list[Mapping[str, Any]] = [item for page in pages for item in page["Items"]]
        default_id = next((item.get("default_id") for item in items if item["id"] == REGISTRY), None)
        return [_overview(item, default_id) for item in items if item["id"] != REGISTRY]


def _overview(item: Mapping[str, Any], default_id: str | None) -> ProviderOverview:
    return ProviderOverview(
        id=item["id"],
        name=item["name"],
        created_at=parse_timestamp(item["created_at"]),
        health=health_from_item({name: value for name, value in item.items() if name in SHOWN_HEALTH}),
        heartbeats=item["heartbeat"]["enabled"],
        default=item["id"] == default_id,
        muted_until=parse_timestamp(item["muted_until"]) if "muted_until" in item else None,
    )
