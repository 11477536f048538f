"""Bad input in words: pydantic's findings as one message that names the field and says what to do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import InvalidRequest

NOT_JSON = "The body is not JSON. Send a JSON object, with Content-Type: application/json."
NO_OBJECT = 'The body is JSON but no object. Send a JSON object like {"id": "tokenhub", "endpoint": "https://…/v1"}.'
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of a provider; leave it out",
}
IDS = "is no valid id: use 1 to 64 letters, digits, dots, underscores or dashes, and begin with a letter or digit"


def require_object(body: str | None) -> None:
    """Raises InvalidRequest unless the body is a JSON object."""
    try:
        content = json.loads(body or "")
    except (ValueError, RecursionError):
        raise InvalidRequest(NOT_JSON) from None
    if not isinstance(content, dict):
        raise InvalidRequest(NO_OBJECT)


def invalid_request(findings: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """One error for all that was found. Never holds the input: it may be a key."""
    sentences = [f"{_path(finding)} {_words(finding)}." for finding in findings]
    return InvalidRequest(" ".join(sentences), param=_path(findings[0]))


def _path(finding: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in finding["loc"] if part != "body")


def _words(finding: Mapping[str, Any]) -> str:
    if _path(finding) == "id" and finding["type"] != "missing":
        return IDS
    known = WORDS.get(finding["type"])
    return known or f"is not valid: {finding['msg'][0].lower()}{finding['msg'][1:]}"
