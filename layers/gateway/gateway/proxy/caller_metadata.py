"""The caller's own labels of a request, for its log line only. The provider never receives them."""

from typing import Any

from gateway.core.errors import InvalidRequest
from gateway.core.request_errors import InvalidMetadata
from gateway.core.strict_json import read_object

MAX_ENTRIES = 5
MAX_CHARACTERS = 128


def read_metadata(text: str | None) -> dict[str, str]:
    """Returns the labels in the header X-Gateway-Metadata, empty for None. Raises InvalidMetadata.

    The header is a JSON object of at most 5 strings. Each name and value has at most 128 characters.
    """
    if text is None:
        return {}
    entries = _object(text)
    if len(entries) > MAX_ENTRIES:
        raise InvalidMetadata(f"has more than {MAX_ENTRIES} entries.")
    if not all(isinstance(value, str) for value in entries.values()):
        raise InvalidMetadata("has a value that is not a string.")
    if any(len(part) > MAX_CHARACTERS for entry in entries.items() for part in entry):
        raise InvalidMetadata(f"has a name or a value of more than {MAX_CHARACTERS} characters.")
    return entries


def _object(text: str) -> dict[str, Any]:
    try:
        return read_object(text, "{}")
    except InvalidRequest:
        raise InvalidMetadata("is not a JSON object, or has the same name twice.") from None
