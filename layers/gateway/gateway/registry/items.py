"""How a provider lies in DynamoDB: pure functions between records and items."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from gateway.registry.provider import Health, HeartbeatSettings, Provider, format_timestamp, parse_timestamp

Item = Mapping[str, Any]

HEALTH = {field.name for field in fields(Health)}
REGISTERED = {field.name for field in fields(Provider)} - {"health", "default"}
TIMES = {"created_at", "updated_at", "last_heartbeat_at", "status_changed_at"}
NUMBERS = {"last_heartbeat_latency_ms", "last_heartbeat_ttft_ms", "consecutive_failures"} | {
    "beats_since_stream",
    "heartbeat_tokens",
}


def registry_item(provider: Provider) -> dict[str, Any]:
    """What registering a provider writes. Not `default`: the registry item names it."""
    values = asdict(provider)
    del values["health"], values["default"]
    return _plain(values)


def health_item(health: Health) -> dict[str, Any]:
    """What a beat writes."""
    return _plain(asdict(health))


def provider_of(item: Item, default_id: str | None) -> Provider:
    """The provider that an item holds."""
    known = HEALTH | REGISTERED  # a newer version may have written more
    values: dict[str, Any] = {name: _value(name, value) for name, value in item.items() if name in known}
    health = {name: values.pop(name) for name in HEALTH & values.keys()}
    beat = values.pop("heartbeat")
    return Provider(
        **values,
        health=Health(**health),
        heartbeat=HeartbeatSettings(beat["enabled"], beat["model"], int(beat["max_tokens"])),
        default=item["id"] == default_id,
    )


def set_and_remove(values: Item) -> tuple[str, dict[str, str], dict[str, Any]]:
    """An update expression that sets what has a value and removes what has none, its names and its values.

    Every name is placed, because DynamoDB reserves plain words like `name`.
    """
    present = {name: value for name, value in values.items() if value is not None}
    absent = [f"#{name}" for name in values if name not in present]
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in present)
    if absent:
        expression += " REMOVE " + ", ".join(absent)
    return expression, {f"#{name}": name for name in values}, {f":{name}": value for name, value in present.items()}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: format_timestamp(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _value(name: str, value: Any) -> Any:
    """DynamoDB gives numbers as Decimal and bytes as Binary."""
    if value is None:
        return None
    if name in TIMES:
        return parse_timestamp(value)
    if name in NUMBERS:
        return int(value)
    return bytes(value) if name == "key_ciphertext" else value
