"""Stores providers in DynamoDB. Besides it, only `reader` and `overview` access the providers table, to read it.

Each provider is one item. The registry item stores the id of the default provider and the number of providers. A
transaction updates it with each create, delete and change of default: while there are providers, exactly one is the
default, and their number never exceeds MAX_PROVIDERS. A write that loses a race raises RegistryBusy.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gateway.core.errors import DefaultProviderNeeded, RegistryBusy, TooManyProviders
from gateway.registry.etags import IfMatch
from gateway.registry.items import Item, health_item, provider_from_item, registry_item, update_expression
from gateway.registry.provider import Health, Provider, format_timestamp
from gateway.registry.reader import REGISTRY, ProviderReader

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

MAX_PROVIDERS = 1000
# Codes in the cancellation reasons of a transaction.
SUCCEEDED = "None"
CONDITION_FAILED = "ConditionalCheckFailed"
# Codes of the errors of a heartbeat's write.
LOST_RACES = {"ConditionalCheckFailedException", "TransactionConflictException"}
# The health attributes that a reset writes.
PENDING = {
    "status": "pending",
    "last_heartbeat_error": None,
    "consecutive_failures": 0,
    "last_heartbeat_model": None,
    "last_heartbeat_ttft_ms": None,
    "failure_cause": None,
    "failure_cause_since": None,
    "last_heartbeat_warning": None,
    "failure_planned": None,
}


class ProviderStore(ProviderReader):
    """The registered providers, for reading and writing. All reads are strongly consistent."""

    def __init__(self, table: "Table") -> None:
        super().__init__(self._item)
        self._table = table

    def all(self) -> list[Provider]:
        """Returns all providers, newest first."""
        items = list(self._items())
        registry: Item = next((item for item in items if item["id"] == REGISTRY), {})
        default_id = registry.get("default_id")
        providers = [provider_from_item(item, default_id) for item in items if item["id"] != REGISTRY]
        return sorted(providers, key=lambda provider: (provider.created_at, provider.id), reverse=True)

    def create(self, provider: Provider) -> None:
        """Adds a provider. It becomes the default when it is the first one or when its `default` is true.

        Raises RegistryBusy when a provider with this id exists, TooManyProviders when there are MAX_PROVIDERS.
        """
        reasons = self._transaction([{"Put": self._put(provider)}, {"Update": self._count_up(provider)}])
        # When the put fails too, the provider exists and the caller can replace it.
        if reasons == [SUCCEEDED, CONDITION_FAILED]:
            raise TooManyProviders(MAX_PROVIDERS)
        if reasons:
            raise RegistryBusy

    def update(
        self, before: Provider, after: Provider, *, reset_health: bool, require_same_default: bool = False
    ) -> None:
        """Writes the registration attributes that differ. `reset_health` also sets the health to `pending`.

        Raises RegistryBusy when the stored revision is not `before`'s, or with `require_same_default` when the
        provider has become or ceased to be the default.
        """
        steps: list[dict[str, Any]] = [{"Update": self._change(before, after, reset_health=reset_health)}]
        if after.default and not before.default:
            steps.append({"Update": self._set_default(after.id)})
        elif require_same_default:
            steps.append({"ConditionCheck": self._check_same_default(before)})
        if self._transaction(steps):
            raise RegistryBusy

    def delete(self, provider_id: str, if_match: IfMatch | None = None) -> None:
        """Removes a provider. The default can be removed only as the last one.

        Raises ProviderNotFound, PreconditionFailed, DefaultProviderNeeded, RegistryBusy.
        """
        provider = self.get(provider_id)
        if if_match is not None:
            if_match.check(provider)
        delete = {
            "TableName": self._table.name,
            "Key": {"id": provider_id},
            "ConditionExpression": "revision = :read_revision",
            "ExpressionAttributeValues": {":read_revision": provider.revision},
        }
        update_registry = self._remove_last if provider.default else self._count_down
        reasons = self._transaction([{"Delete": delete}, {"Update": update_registry(provider_id)}])
        if provider.default and reasons == [SUCCEEDED, CONDITION_FAILED] and self.default_id() == provider_id:
            raise DefaultProviderNeeded
        if reasons:
            raise RegistryBusy

    def record_beat(self, provider: Provider, health: Health) -> bool:
        """Writes a heartbeat's result if version and last heartbeat are still those of `provider`.

        Returns False when they are not, or when a transaction is writing to the item. Writes only the attributes that
        changed, which is safe because every writer of the others changes the version or the last heartbeat.
        """
        before = health_item(provider.health)
        changed = {name: value for name, value in health_item(health).items() if value != before[name]}
        expression, names, values = update_expression(changed)
        last = before["last_heartbeat_at"]
        same_last = "attribute_not_exists(last_heartbeat_at)" if last is None else "last_heartbeat_at = :read_last"
        values |= {":version": provider.version} | ({} if last is None else {":read_last": last})
        try:
            self._table.update_item(
                Key={"id": provider.id},
                UpdateExpression=expression,
                ConditionExpression=f"#version = :version AND {same_last}",
                ExpressionAttributeNames=names | {"#version": "version"},
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in LOST_RACES:
                return False
            raise
        return True

    def _items(self) -> Iterator[Item]:
        request: dict[str, Any] = {"ConsistentRead": True}
        while True:
            page = self._table.scan(**request)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _item(self, key: str) -> Item | None:
        return self._table.get_item(Key={"id": key}, ConsistentRead=True).get("Item")

    def _put(self, provider: Provider) -> dict[str, Any]:
        item = registry_item(provider) | health_item(provider.health)
        return {
            "TableName": self._table.name,
            "Item": {name: value for name, value in item.items() if value is not None},
            "ConditionExpression": "attribute_not_exists(id)",
        }

    def _change(self, before: Provider, after: Provider, *, reset_health: bool) -> dict[str, Any]:
        # Unchanged attributes are not written: re-encrypting a key makes no new revision, so a concurrent one is not
        # detected, and writing the old ciphertext would undo it.
        old = registry_item(before)
        item = {name: value for name, value in registry_item(after).items() if value != old[name] or name == "revision"}
        condition, condition_values = "#revision = :read_revision", {":read_revision": before.revision}
        if reset_health:
            item |= PENDING
            if before.health.status != "pending":
                item |= {"status_changed_at": format_timestamp(after.updated_at)}
            # Heartbeats make no new revision: `status_changed_at` depends on the status that was read.
            condition += " AND #status = :read_status"
            condition_values |= {":read_status": before.health.status}
        expression, names, values = update_expression(item)
        return {
            "TableName": self._table.name,
            "Key": {"id": after.id},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values | condition_values,
        }

    def _count_up(self, provider: Provider) -> dict[str, Any]:
        default_id = ":id" if provider.default else "if_not_exists(default_id, :id)"
        return {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "UpdateExpression": f"SET default_id = {default_id} ADD providers :one",
            "ConditionExpression": "attribute_not_exists(providers) OR providers < :max",
            "ExpressionAttributeValues": {":id": provider.id, ":one": 1, ":max": MAX_PROVIDERS},
        }

    def _set_default(self, provider_id: str) -> dict[str, Any]:
        return {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "UpdateExpression": "SET default_id = :id",
            "ExpressionAttributeValues": {":id": provider_id},
        }

    def _check_same_default(self, provider: Provider) -> dict[str, Any]:
        return {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "ConditionExpression": "default_id = :id" if provider.default else "default_id <> :id",
            "ExpressionAttributeValues": {":id": provider.id},
        }

    def _remove_last(self, provider_id: str) -> dict[str, Any]:
        return {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "UpdateExpression": "REMOVE default_id ADD providers :minus_one",
            "ConditionExpression": "providers = :one AND default_id = :id",
            "ExpressionAttributeValues": {":minus_one": -1, ":one": 1, ":id": provider_id},
        }

    def _count_down(self, provider_id: str) -> dict[str, Any]:
        return {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "UpdateExpression": "ADD providers :minus_one",
            "ConditionExpression": "default_id <> :id",
            "ExpressionAttributeValues": {":minus_one": -1, ":id": provider_id},
        }

    def _transaction(self, steps: list[dict[str, Any]]) -> list[str]:
        """Writes all steps, or none and returns each step's cancellation code."""
        try:
            # The resource's client takes plain values, which its type stubs do not know.
            self._table.meta.client.transact_write_items(TransactItems=steps)  # type: ignore[arg-type]
        except self._table.meta.client.exceptions.TransactionCanceledException as error:
            return [reason["Code"] for reason in error.response["CancellationReasons"]]
        return []
