"""Reads providers from DynamoDB items. `store.ProviderStore` writes them too."""

import re
from collections.abc import Callable

from gateway.core.attributes import plain_item
from gateway.core.aws_api import AwsApi
from gateway.core.errors import NoProvider, ProviderNotFound
from gateway.registry.items import Item, provider_from_item
from gateway.registry.provider import PROVIDER_ID, Provider

# The key of the registry item. PROVIDER_ID does not allow #.
REGISTRY = "#registry"


class ProviderReader:
    """The registered providers by id. `read_item(key)` returns an item by a strongly consistent read, or None."""

    def __init__(self, read_item: Callable[[str], Item | None]) -> None:
        self._read_item = read_item

    def find(self, provider_id: str) -> Provider | None:
        """Returns the provider with this id, or None."""
        item = self._read_item(provider_id) if re.fullmatch(PROVIDER_ID, provider_id) else None
        return None if item is None else provider_from_item(item, self.default_id())

    def get(self, provider_id: str) -> Provider:
        """Returns the provider with this id. Raises ProviderNotFound."""
        provider = self.find(provider_id)
        if provider is None:
            raise ProviderNotFound
        return provider

    def default(self) -> Provider:
        """Returns the default provider. Raises NoProvider when no provider is registered."""
        default_id = self.default_id()
        item = None if default_id is None else self._read_item(default_id)
        if item is None:
            raise NoProvider
        return provider_from_item(item, default_id)

    def default_id(self) -> str | None:
        """Returns the id of the default provider, or None when no provider is registered."""
        return (self._read_item(REGISTRY) or {}).get("default_id")


def item_reader(dynamodb: AwsApi, table: str) -> Callable[[str], Item | None]:
    """Returns a `read_item` that calls DynamoDB without botocore's client."""

    def read_item(key: str) -> Item | None:
        request = {"TableName": table, "Key": {"id": {"S": key}}, "ConsistentRead": True}
        item = dynamodb.call("GetItem", request).get("Item")
        return None if item is None else plain_item(item)

    return read_item
