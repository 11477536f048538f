"""The providers table: the only DynamoDB code for providers.

One item a provider, and the registry item, which names the default and counts: create, delete and change of
default are transactions with it, so that there is never no default, nor two, nor one provider too many.
A write that another one overtook is RegistryBusy: whoever asked for it reads again and decides anew.
"""

import re
from typing import TYPE_CHECKING, Any

from gateway.core.errors import DefaultProviderNeeded, NoProvider, ProviderNotFound, RegistryBusy, TooManyProviders
from gateway.registry.etags import IfMatch
from gateway.registry.items import Item, health_item, provider_of, registry_item, set_and_remove
from gateway.registry.provider import PROVIDER_ID, Health, Provider, format_timestamp

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

MAX_PROVIDERS = 1000
REGISTRY = "#registry"  # no provider's id can hold a #
FAILED = "ConditionalCheckFailed"


class ProviderStore:
    """The registered providers. Reads are consistent: a provider just registered is seen by the next call."""

    def __init__(self, table: "Table") -> None:
        self._table = table
        self._transact = table.meta.client.transact_write_items

    def all(self) -> list[Provider]:
        """Every provider, newest first."""
        items: list[Item] = []
        page = self._table.scan(ConsistentRead=True)
        items += page["Items"]
        while "LastEvaluatedKey" in page:
            page = self._table.scan(ConsistentRead=True, ExclusiveStartKey=page["LastEvaluatedKey"])
            items += page["Items"]
        default = next((item["default_id"] for item in items if item["id"] == REGISTRY and "default_id" in item), None)
        found = [provider_of(item, default) for item in items if item["id"] != REGISTRY]
        return sorted(found, key=lambda provider: (provider.created_at, provider.id), reverse=True)

    def find(self, provider_id: str) -> Provider | None:
        """The provider of this id, if it is registered."""
        item = self._item(provider_id) if re.fullmatch(PROVIDER_ID, provider_id) else None
        return None if item is None else provider_of(item, self.default_id())

    def get(self, provider_id: str) -> Provider:
        """The provider of this id. Raises ProviderNotFound."""
        provider = self.find(provider_id)
        if provider is None:
            raise ProviderNotFound
        return provider

    def default(self) -> Provider:
        """The provider that requests go to. Raises NoProvider when none is registered."""
        default = self.default_id()
        item = None if default is None else self._item(default)
        if item is None:
            raise NoProvider
        return provider_of(item, default)

    def default_id(self) -> str | None:
        """The default's id."""
        return (self._item(REGISTRY) or {}).get("default_id")

    def create(self, provider: Provider) -> None:
        """Adds a provider; the first one becomes the default, and so does one that says so.

        Raises RegistryBusy when the id was taken meanwhile, TooManyProviders when there are 1,000.
        """
        item = registry_item(provider) | health_item(provider.health)
        put = {
            "TableName": self._table.name,
            "Item": {name: value for name, value in item.items() if value is not None},
            "ConditionExpression": "attribute_not_exists(id)",
        }
        default = ":id" if provider.default else "if_not_exists(default_id, :id)"
        count = {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "UpdateExpression": f"SET default_id = {default} ADD providers :one",
            "ConditionExpression": "attribute_not_exists(providers) OR providers < :most",
            "ExpressionAttributeValues": {":id": provider.id, ":one": 1, ":most": MAX_PROVIDERS},
        }
        reasons = self._transaction([{"Put": put}, {"Update": count}])
        if reasons == ["None", FAILED]:  # with a failure of both, this one is there already and can be replaced
            raise TooManyProviders(MAX_PROVIDERS)
        if reasons:
            raise RegistryBusy

    def update(self, before: Provider, after: Provider, *, reset_health: bool, hold_default: bool = False) -> None:
        """Writes what `after` changes of what was registered, and leaves what beats wrote, but for the way back to
        `pending`. `hold_default`: only while the provider still is the default, or still is not, as in `before`.

        Raises RegistryBusy when the provider is no longer at `before`'s revision.
        """
        steps: list[dict[str, Any]] = [{"Update": self._update(before, after, reset_health=reset_health)}]
        if after.default and not before.default:
            steps.append({"Update": self._name_default(after.id)})
        elif hold_default:
            steps.append({"ConditionCheck": self._still_default(before)})
        if self._transaction(steps):
            raise RegistryBusy

    def delete(self, provider_id: str, expected: IfMatch | None = None) -> None:
        """Removes a provider. The default can go only when it is the last.

        Raises ProviderNotFound, PreconditionFailed, DefaultProviderNeeded, RegistryBusy.
        """
        provider = self.get(provider_id)
        if expected is not None:
            expected.check(provider)
        delete = {
            "TableName": self._table.name,
            "Key": {"id": provider_id},
            "ConditionExpression": "revision = :seen",
            "ExpressionAttributeValues": {":seen": provider.revision},
        }
        registry = self._forget_last if provider.default else self._count_down
        reasons = self._transaction([{"Delete": delete}, {"Update": registry(provider_id)}])
        if provider.default and reasons == ["None", FAILED] and self.default_id() == provider_id:
            raise DefaultProviderNeeded
        if reasons:
            raise RegistryBusy

    def record_beat(self, beaten: Provider, health: Health) -> bool:
        """Writes what a beat has shown, if the provider is still as the beat read it. False: it is not, or a change of
        the registry is being written at this very moment.

        Only what has changed: whoever changes the rest changes the version or the time of the last beat with it.
        """
        before = health_item(beaten.health)
        changed = {name: value for name, value in health_item(health).items() if value != before[name]}
        expression, names, values = set_and_remove(changed)
        seen = before["last_heartbeat_at"]
        same_beat = "attribute_not_exists(last_heartbeat_at)" if seen is None else "last_heartbeat_at = :seen"
        values |= {":version": beaten.version} | ({} if seen is None else {":seen": seen})
        known = self._table.meta.client.exceptions
        try:
            self._table.update_item(
                Key={"id": beaten.id},
                UpdateExpression=expression,
                ConditionExpression=f"#version = :version AND {same_beat}",
                ExpressionAttributeNames=names | {"#version": "version"},
                ExpressionAttributeValues=values,
            )
        except (known.ConditionalCheckFailedException, known.TransactionConflictException):
            return False
        return True

    def _item(self, key: str) -> Item | None:
        return self._table.get_item(Key={"id": key}, ConsistentRead=True).get("Item")

    def _update(self, before: Provider, after: Provider, *, reset_health: bool) -> dict[str, Any]:
        # What did not change is not written: a key that is encrypted anew makes no revision, and would be lost.
        old = registry_item(before)
        item = {name: value for name, value in registry_item(after).items() if value != old[name] or name == "revision"}
        if reset_health:
            item |= {"status": "pending", "last_heartbeat_error": None, "consecutive_failures": 0}
            item |= {"last_heartbeat_model": None, "last_heartbeat_ttft_ms": None}  # of what is registered no longer
            if before.health.status != "pending":
                item |= {"status_changed_at": format_timestamp(after.updated_at)}
        expression, names, values = set_and_remove(item)
        # A beat makes no revision: without its own condition a reset would keep the time of a change that it undoes.
        same_status = " AND #status = :seen_status" if reset_health else ""
        seen = {":seen_status": before.health.status} if reset_health else {}
        return {
            "TableName": self._table.name,
            "Key": {"id": after.id},
            "UpdateExpression": expression,
            "ConditionExpression": "#revision = :expected" + same_status,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values | seen | {":expected": before.revision},
        }

    def _name_default(self, provider_id: str) -> dict[str, Any]:
        return {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "UpdateExpression": "SET default_id = :id",
            "ExpressionAttributeValues": {":id": provider_id},
        }

    def _still_default(self, provider: Provider) -> dict[str, Any]:
        return {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "ConditionExpression": "default_id = :id" if provider.default else "default_id <> :id",
            "ExpressionAttributeValues": {":id": provider.id},
        }

    def _forget_last(self, provider_id: str) -> dict[str, Any]:
        return {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "UpdateExpression": "REMOVE default_id ADD providers :less",
            "ConditionExpression": "providers = :one AND default_id = :id",
            "ExpressionAttributeValues": {":less": -1, ":one": 1, ":id": provider_id},
        }

    def _count_down(self, provider_id: str) -> dict[str, Any]:
        return {
            "TableName": self._table.name,
            "Key": {"id": REGISTRY},
            "UpdateExpression": "ADD providers :less",
            "ConditionExpression": "default_id <> :id",
            "ExpressionAttributeValues": {":less": -1, ":id": provider_id},
        }

    def _transaction(self, steps: list[dict[str, Any]]) -> list[str]:
        """Writes all or nothing. Returns the reason of each step when nothing was written, else an empty list."""
        try:
            self._transact(TransactItems=steps)  # type: ignore[arg-type]  # the resource's client takes plain values
        except self._table.meta.client.exceptions.TransactionCanceledException as error:
            return [reason["Code"] for reason in error.response["CancellationReasons"]]
        return []
