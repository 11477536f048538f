"""A JSON object as its author can only have meant it: one value a name, and no number that JSON does not have."""

import json
from typing import Any, NoReturn

from gateway.core.errors import InvalidRequest

NOT_JSON = "The body is not JSON. Send a JSON object, with Content-Type: application/json."
TWICE = "The body names a field twice, and it cannot be told which one counts. Send each field once."


class _Twice(ValueError):
    """A name stands twice in one object."""


def read_object(text: str, example: str) -> dict[str, Any]:
    """The object that a text is. Raises InvalidRequest, with an `example` of an object where it is something else."""
    try:
        content = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
    except _Twice:
        raise InvalidRequest(TWICE) from None
    except (ValueError, RecursionError):
        raise InvalidRequest(NOT_JSON) from None
    if not isinstance(content, dict):
        raise InvalidRequest(f"The body is JSON but no object. Send a JSON object like {example}.")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")
