"""Recognises errors that hide the cause of a failure, and those that name the field of a request.

After five errors of a model provider, TokenHub does not ask it for 30 s, the time between two heartbeats. A failed
provider then reports its cause and "no eligible models registered" in turn (docs/tokenhub.md, 2.4).
"""

import re

from gateway.core.errors import GatewayError, ProviderError

# The codes of the errors that may hide the cause.
HIDING_CODES = frozenset({"provider_no_models", "provider_all_failed"})
# TokenHub's message where no cause follows. `%!w(<nil>)` is Go's text for a missing error.
HIDING_MESSAGE = re.compile(
    r"(no eligible models(?: registered)?|all providers failed(?: for streaming: (?:%!w\(<nil>\)|no eligible models"
    r"(?: registered)?))?)(?:\.|$)",
    re.IGNORECASE,
)
# Words of at least 8 characters with a digit. Model providers put the id of the request into their errors.
REQUEST_ID = re.compile(r"\b(?=[\w-]*\d)[\w-]{8,}")

# A model provider's refusal of the request, also as TokenHub reports it: "API error (status 400)".
BAD_REQUEST = re.compile(r"\(status (?:400|422)\)")


def hiding_message(failure: GatewayError) -> str | None:
    """Returns TokenHub's message if it hides the cause of the failure, or None if it may name the cause."""
    if not isinstance(failure, ProviderError) or failure.code not in HIDING_CODES:
        return None
    match = HIDING_MESSAGE.match(failure.message)
    return None if match is None else match[1]


def refuses(failure: ProviderError, field: str) -> bool:
    """Whether the model's provider refused the request because of this field."""
    is_bad_request = failure.status in (400, 422) or BAD_REQUEST.search(failure.message)
    return bool(is_bad_request and re.search(rf"\b{field}\b", failure.message))


def is_same_cause(error: str, other: str) -> bool:
    """Whether two errors differ at most in the ids of their requests."""
    return REQUEST_ID.sub("", error) == REQUEST_ID.sub("", other)
