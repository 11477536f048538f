"""Converts between providers and DynamoDB items. Pure functions."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from gateway.registry.provider import Health, HeartbeatSettings, Provider, format_timestamp, parse_timestamp

Item = Mapping[str, Any]

HEALTH_NAMES = [field.name for field in fields(Health)]
HEALTH_FIELDS = set(HEALTH_NAMES)
REGISTRATION_FIELDS = {field.name for field in fields(Provider)} - {"health", "default"}
TIME_FIELDS = {
    "created_at",
    "updated_at",
    "muted_until",
    "last_heartbeat_at",
    "status_changed_at",
    "failure_cause_since",
}
INTEGER_FIELDS = {
    "last_heartbeat_latency_ms",
    "last_heartbeat_ttft_ms",
    "consecutive_failures",
    "beats_since_stream",
    "heartbeat_tokens",
}


def registry_item(provider: Provider) -> dict[str, Any]:
    """The attributes that a registration writes. `default` is not one: the registry item stores the default's id."""
    values = asdict(provider)
    del values["health"], values["default"]
    return _serialise(values)


def health_item(health: Health) -> dict[str, Any]:
    """The attributes that a heartbeat writes. False is written as a missing attribute, its default."""
    # Not with asdict(), which copies every value and takes ten times as long: a tick calls this for each heartbeat.
    values = {name: getattr(health, name) for name in HEALTH_NAMES}
    return {name: None if value is False else value for name, value in _serialise(values).items()}


def provider_from_item(item: Item, default_id: str | None) -> Provider:
    """Builds the provider from its item and the id of the default provider. Ignores unknown attributes."""
    # A newer version of the gateway may have written other attributes.
    known = HEALTH_FIELDS | REGISTRATION_FIELDS
    values: dict[str, Any] = {name: _deserialise(name, value) for name, value in item.items() if name in known}
    health = {name: values.pop(name) for name in HEALTH_FIELDS & values.keys()}
    settings = values.pop("heartbeat")
    max_tokens = None if settings["max_tokens"] is None else int(settings["max_tokens"])
    return Provider(
        **values,
        health=Health(**health),
        heartbeat=HeartbeatSettings(settings["enabled"], settings["model"], max_tokens),
        default=item["id"] == default_id,
    )


def health_from_item(item: Item) -> Health:
    """Builds the health from the attributes of an item that are fields of Health. Others take their defaults."""
    return Health(**{name: _deserialise(name, value) for name, value in item.items() if name in HEALTH_FIELDS})


def update_expression(values: Item) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Returns an update expression with its attribute names and values: sets values and removes None.

    Every attribute name has a placeholder, because DynamoDB reserves words such as `name`.
    """
    present = {name: value for name, value in values.items() if value is not None}
    absent = [f"#{name}" for name in values if name not in present]
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in present)
    if absent:
        expression += " REMOVE " + ", ".join(absent)
    return expression, {f"#{name}": name for name in values}, {f":{name}": value for name, value in present.items()}


def _serialise(values: dict[str, Any]) -> dict[str, Any]:
    return {name: format_timestamp(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _deserialise(name: str, value: Any) -> Any:
    """Converts boto3's Decimal and Binary values and timestamps."""
    if value is None:
        return None
    if name in TIME_FIELDS:
        return parse_timestamp(value)
    if name in INTEGER_FIELDS:
        return int(value)
    return bytes(value) if name == "key_ciphertext" else value
