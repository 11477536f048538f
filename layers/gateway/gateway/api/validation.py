"""Bad input in words: pydantic's findings as one message that names the field and says what to do."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.errors import InvalidRequest
from gateway.core.redaction import redact
from gateway.core.strict_json import read_object

PLACES = {"body", "query"}  # where Powertools found it; no field has such a name
EXAMPLE = '{"id": "tokenhub", "endpoint": "https://…/v1"}'
MAX_FINDINGS = 10  # names of fields are the sender's: an answer must stay below Lambda's 6 MB
MAX_PATH_CHARACTERS = 64  # characters
NO_UTF_8 = "The body is not UTF-8. Send it as UTF-8."
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of a provider; leave it out",
    "null_refused": "cannot be null; leave it out to keep what is there",
}
IDS = "is no valid id: use 1 to 64 letters, digits, dots, underscores or dashes, and begin with a letter or digit"


def require_object(body: str | None) -> None:
    """Raises InvalidRequest unless the body is a JSON object."""
    if "\ufffd" in (body or ""):  # what API Gateway makes of bytes that are no UTF-8
        raise InvalidRequest(NO_UTF_8)
    read_object(body or "", EXAMPLE)


def invalid_request(findings: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """One error for all that was found. Never holds the input: it may be a key."""
    sentences = [f"{_path(finding)} {_words(finding)}." for finding in findings[:MAX_FINDINGS]]
    more = len(findings) - MAX_FINDINGS
    if more > 0:
        sentences.append(f"And {more} more.")
    return InvalidRequest(" ".join(sentences), param=_path(findings[0]))


def _path(finding: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in finding["loc"] if part not in PLACES)
    return redact(path)[:MAX_PATH_CHARACTERS]  # cut last: half a key is no key to the redactor


def _words(finding: Mapping[str, Any]) -> str:
    if _path(finding) == "id" and finding["type"] != "missing":
        return IDS
    known = WORDS.get(finding["type"])
    return known or f"is not valid: {finding['msg'][0].lower()}{finding['msg'][1:]}"
