"""Validation of the provider API's input: one message that names each invalid field and says what to send."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.errors import InvalidRequest, ProviderNotFound
from gateway.core.redaction import redact
from gateway.core.strict_json import read_object

METHODS_WITH_BODY = {"POST", "PUT", "PATCH"}
# The body of these requests is ignored.
RESOURCES_WITHOUT_BODY = {"/api/v1/providers/{id}/heartbeat"}
QUERY_PARAMETERS = ("limit", "before", "bucket")
EXAMPLE = '{"id": "tokenhub", "endpoint": "https://…/v1"}'

# Powertools begins a field's path with one of these. No field has such a name.
LOCATIONS = {"body", "query"}
# The names of unknown fields come from the caller, and an answer must stay below Lambda's 6 MB.
MAX_FINDINGS = 10
MAX_PATH_CHARACTERS = 64
MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of a provider; leave it out",
    "null_refused": "cannot be null; leave it out to keep the stored value",
    "bearer_key": "begins with Bearer, which the gateway adds; send the key alone",
}
INVALID_ID = (
    "is not a valid id: use 1 to 64 letters, digits, dots, underscores or dashes, and begin with a letter or digit"
)
INVALID_KEY = "contains a space, a line break or a character outside ASCII; copy the key again and send it alone"
INVALID_LINE = "contains a line break or another control character; leave it out"
NOT_UTF_8 = "The body is not UTF-8. Send it as UTF-8."


def validated_event(event: dict[str, Any]) -> dict[str, Any]:
    """Returns a REST proxy event that Powertools parses correctly. Raises ProviderNotFound and InvalidRequest.

    Powertools drops a line feed at the end of the path, and would find the provider with the id before it. It takes
    the first item of a JSON list for the body.
    """
    if "\n" in event["path"]:
        raise ProviderNotFound
    _require_single_parameters(event.get("multiValueQueryStringParameters") or {})
    if event["httpMethod"] not in METHODS_WITH_BODY or event["resource"] in RESOURCES_WITHOUT_BODY:
        return event
    require_object(event["body"])
    return _as_json(event)


def require_object(body: str | None) -> None:
    """Raises InvalidRequest unless the body is a JSON object."""
    # API Gateway replaces bytes that are not UTF-8.
    if "\ufffd" in (body or ""):
        raise InvalidRequest(NOT_UTF_8)
    read_object(body or "", EXAMPLE)


def invalid_request(findings: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """Returns one error for all of pydantic's findings. It never contains the input, which may be a key."""
    sentences = [f"{_path(finding)} {_message(finding)}." for finding in findings[:MAX_FINDINGS]]
    more = len(findings) - MAX_FINDINGS
    if more > 0:
        sentences.append(f"And {more} more.")
    return InvalidRequest(" ".join(sentences), param=_path(findings[0]))


def _require_single_parameters(query: Mapping[str, Sequence[str]]) -> None:
    """Raises InvalidRequest for a repeated parameter, because the caller cannot know which value is used."""
    for name in QUERY_PARAMETERS:
        if len(query.get(name, ())) > 1:
            raise InvalidRequest(f"{name} is in the query more than once. Send it once.", param=name)


def _as_json(event: dict[str, Any]) -> dict[str, Any]:
    """Treats the body as JSON whatever its Content-Type, because `curl -d` sends the Content-Type of a form."""
    headers = {name: value for name, value in (event.get("headers") or {}).items() if name.lower() != "content-type"}
    return event | {"headers": headers | {"content-type": "application/json"}, "isBase64Encoded": False}


def _path(finding: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in finding["loc"] if part not in LOCATIONS)
    # Redacted before it is cut: the redactor does not recognise half a key.
    return redact(path)[:MAX_PATH_CHARACTERS]


def _message(finding: Mapping[str, Any]) -> str:
    if _path(finding) == "id" and finding["type"] != "missing":
        return INVALID_ID
    if finding["type"] == "string_pattern_mismatch":
        return INVALID_KEY if _path(finding) == "api_key" else INVALID_LINE
    known = MESSAGES.get(finding["type"])
    return known or f"is not valid: {finding['msg'][0].lower()}{finding['msg'][1:]}"
