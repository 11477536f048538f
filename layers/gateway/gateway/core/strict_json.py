"""Strict JSON objects: rejects duplicate keys, NaN and Infinity."""

import json
from typing import Any, NoReturn

from gateway.core.errors import InvalidRequest

NOT_JSON = "The body is not JSON. Send a JSON object, with Content-Type: application/json."
DUPLICATE_FIELD = "The body contains the same field twice. Send each field once."


class _DuplicateKey(ValueError):
    """An object has a key twice."""


def read_object(text: str, example: str) -> dict[str, Any]:
    """Parses a JSON object. Raises InvalidRequest, whose message shows `example` if the text is other JSON."""
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_reject_constant)
    except _DuplicateKey:
        raise InvalidRequest(DUPLICATE_FIELD) from None
    except (ValueError, RecursionError):
        raise InvalidRequest(NOT_JSON) from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body is not a JSON object. Send one like {example}.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise _DuplicateKey
    return content


def _reject_constant(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
