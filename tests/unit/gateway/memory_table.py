"""Tables in memory for tests that make thousands of calls: a call of moto takes some milliseconds.

Other tests run the same stores on moto.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import eq, gt
from types import SimpleNamespace
from typing import Any, cast

from gateway.registry.provider import Health, Provider
from gateway.registry.store import ProviderStore

type Item = dict[str, Any]

KEY_CONDITION = re.compile(r"provider_id = :provider_id AND #?(\w+) BETWEEN :first AND :last")
CLAUSE = re.compile(r"(\w+) ([=>]) (:\w+)")
OPERATORS = {"=": eq, ">": gt}


class MemoryTable:
    """A table with the keys `provider_id` and `sort_key`, for the calls of HistoryStore and RollUpStore."""

    def __init__(self, name: str, sort_key: str) -> None:
        self.name = name
        self.meta = SimpleNamespace(client=self)
        self.items: dict[tuple[str, str], Item] = {}
        self._sort_key = sort_key

    def batch_write_item(self, **request: Any) -> Item:
        for write in request["RequestItems"][self.name]:
            item = write["PutRequest"]["Item"]
            self.items[item["provider_id"], item[self._sort_key]] = dict(item)
        return {"UnprocessedItems": {}}

    def batch_get_item(self, **request: Any) -> Item:
        reads = request["RequestItems"][self.name]
        keys = [(key["provider_id"], key[self._sort_key]) for key in reads["Keys"]]
        items = [self.items[key] for key in keys if key in self.items]
        return {"Responses": {self.name: _project(items, reads)}, "UnprocessedKeys": {}}

    def query(self, **request: Any) -> Item:
        values = request["ExpressionAttributeValues"]
        condition = KEY_CONDITION.fullmatch(request["KeyConditionExpression"])
        assert condition is not None
        assert condition[1] == self._sort_key
        wanted = [
            item
            for (provider_id, key), item in sorted(self.items.items(), reverse=not request["ScanIndexForward"])
            if provider_id == values[":provider_id"] and values[":first"] <= key <= values[":last"]
        ]
        return {"Items": _project(_filter(wanted, request["FilterExpression"], values), request)}


class MemoryProviders:
    """The registered providers, for the calls of a ticker."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers = {provider.id: provider for provider in providers}

    def as_store(self) -> ProviderStore:
        return cast("ProviderStore", self)

    def all(self) -> list[Provider]:
        return list(self._providers.values())

    def find(self, provider_id: str) -> Provider | None:
        return self._providers.get(provider_id)

    def record_beat(self, provider: Provider, health: Health) -> bool:
        current = self._providers[provider.id]
        if current.health.last_heartbeat_at != provider.health.last_heartbeat_at:
            return False
        self._providers[provider.id] = replace(current, health=health)
        return True


def _filter(items: Iterable[Item], expression: str, values: Mapping[str, Any]) -> list[Item]:
    """Applies the comparisons of a filter expression. An expression that it cannot read fails the test."""
    clauses = [CLAUSE.fullmatch(clause) for clause in expression.split(" AND ")]
    assert all(clauses), expression
    comparisons = [clause.groups() for clause in clauses if clause is not None]
    return [
        item
        for item in items
        if all(OPERATORS[operator](item[name], values[value]) for name, operator, value in comparisons)
    ]


def _project(items: Iterable[Item], request: Mapping[str, Any]) -> list[Item]:
    """Returns copies of the items with the attributes that the request names, or with all."""
    names = request.get("ExpressionAttributeNames")
    return [{name: value for name, value in item.items() if names is None or name in names.values()} for item in items]
