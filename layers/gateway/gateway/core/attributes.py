"""Converts between plain values and DynamoDB's attribute values, such as `{"S": "text"}`, as boto3's resources do."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def plain(value: Mapping[str, Any]) -> Any:
    """Converts an attribute value as boto3's TypeDeserializer does, with bytes for binary values."""
    [(kind, content)] = value.items()
    match kind:
        case "S" | "BOOL":
            return content
        case "N":
            return Decimal(content)
        case "B":
            return b64decode(content)
        case "M":
            return plain_item(content)
        case "L":
            return [plain(item) for item in content]
        case "SS" | "NS" | "BS":
            return {plain({kind[0]: item}) for item in content}
        case "NULL":
            return None
    return content


def plain_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Converts an item or a key."""
    return {name: plain(value) for name, value in item.items()}


def attribute(value: Any) -> dict[str, Any]:
    """Converts a plain value as boto3's TypeSerializer does. Raises TypeError for floats, sets and other objects."""
    match value:
        case str():
            return {"S": value}
        # Before int, of which bool is a subclass.
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": str(value)}
        case None:
            return {"NULL": True}
        case bytes():
            return {"B": b64encode(value).decode()}
        case Mapping():
            return {"M": attributes(value)}
        case list() | tuple():
            return {"L": [attribute(item) for item in value]}
    raise TypeError(f"DynamoDB stores no {type(value).__name__} here. Convert it first.")


def attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """Converts an item, a key or the values of an expression."""
    return {name: attribute(value) for name, value in item.items()}
