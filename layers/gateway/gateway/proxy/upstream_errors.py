"""A provider's answer that is no success, put into the one error shape with its status and its words kept.

The texts are TokenHub's own (tokenhub.md, 1.4): plain text, `error` as a string, `code: null`.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import ProviderError
from gateway.core.redaction import redact

MAX_MESSAGE_CHARACTERS = 500
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
MAX_ERROR_BODY_BYTES = 64 * 1024  # of a refusal: no more of it is read


@dataclass(frozen=True)
class KnownError:
    """One of TokenHub's refusals: how it is told, its code, what to do."""

    status: int
    says: str
    code: str
    remedy: str
    retryable: bool = True


NOTHING_THERE = "Nothing is served there: does the registered endpoint end in /v1?"
KEY_REFUSED = "TokenHub refuses the registered key: register the provider again with a valid api_key."
KNOWN_ERRORS = (
    KnownError(
        401,
        "invalid api key format",
        "provider_key_invalid",
        "A TokenHub key begins with tokenhub_: register the provider again with one.",
        False,
    ),
    KnownError(401, "invalid api key", "provider_key_refused", KEY_REFUSED, False),
    KnownError(
        401,
        "authorization required",
        "provider_key_refused",
        "TokenHub asks for a key, and none is registered: register the provider again with its api_key.",
        False,
    ),
    KnownError(  # on /messages and /embeddings TokenHub hands on what the model's provider says of its key
        401,
        "",
        "provider_key_refused",
        "The registered key is refused, or TokenHub's own by a provider behind it: set the one that is wrong anew.",
        False,
    ),
    KnownError(
        403,
        "",
        "provider_scope_missing",
        "The registered key lacks the scope for this: give it the scope in TokenHub.",
        False,
    ),
    KnownError(
        404,
        "404 page not found",
        "provider_path_unknown",
        NOTHING_THERE,
        False,
    ),
    KnownError(404, "model", "provider_model_unknown", "GET /v1/models lists the models.", False),
    KnownError(404, "", "provider_path_unknown", NOTHING_THERE, False),
    KnownError(405, "", "provider_path_unknown", NOTHING_THERE, False),
    KnownError(
        429,
        "monthly budget",
        "provider_budget_spent",
        "The registered key's budget is spent: raise it in TokenHub, or register another key.",
        False,
    ),
    KnownError(429, "", "provider_rate_limited", "Too many requests at once for TokenHub: try again after a moment."),
    KnownError(
        502,
        "no eligible models",
        "provider_no_models",
        "TokenHub has no model that it can use now: each is missing, disabled or in its cooldown. "
        "Look at its models and providers.",
    ),
    KnownError(  # a stream's words have the cause
        502,
        "all providers failed for streaming",
        "provider_all_failed",
        "Every provider behind TokenHub failed, the last one as it says here: set that right in TokenHub.",
    ),
    KnownError(
        502,
        "all providers failed",
        "provider_all_failed",
        "Every provider behind TokenHub failed: look at TokenHub's log for the cause.",
    ),
)
FALLBACK_ERRORS = (
    KnownError(400, "", "provider_bad_request", "The request is not one that TokenHub takes.", False),
    KnownError(500, "", "provider_error", "TokenHub failed: look at its log."),
)
NO_PATH = (404, 405)  # they have one code, also where a web page says so
IN_FRONT = "That is not TokenHub but something in front of it: look there, and at the registered endpoint."


def upstream_error(status: int, body: bytes, secrets: Iterable[str] = ()) -> ProviderError:
    """The error that a provider's 4xx or 5xx is. `secrets` are taken out of its words. An error with another status
    would be a success to our clients, or nothing that API Gateway hands on: it is told as a 502."""
    words = redact(message_of(body), secrets)[:MAX_MESSAGE_CHARACTERS]
    if not 400 <= status < 600:
        status, words = 502, f"HTTP {status}: {words}".rstrip(": ")
    words = words or f"HTTP {status}"
    found = _page_of(status) if body.lstrip().startswith(b"<") else _found(status, words)
    return ProviderError(status, f"{words.rstrip('.')}. {found.remedy}", code=found.code, retryable=found.retryable)


def _found(status: int, words: str) -> KnownError:
    known = (r for r in KNOWN_ERRORS if r.status == status and r.says in words.lower())
    return next(known, FALLBACK_ERRORS[status >= 500])


def _page_of(status: int) -> KnownError:
    """What a web page is, where TokenHub would have answered in plain text or JSON."""
    code = "provider_path_unknown" if status in NO_PATH else FALLBACK_ERRORS[status >= 500].code
    return KnownError(status, "", code, IN_FRONT, retryable=status >= 500)


def message_of(body: bytes) -> str:
    """What a body says: its error's message, or all of its text, without what a terminal obeys. Not redacted."""
    text = body.decode(errors="replace").strip()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return "a page that is no JSON" if text.startswith("<") else CONTROL.sub(" ", text)
    return CONTROL.sub(" ", _error_words(content) or text)


def _error_words(content: Any) -> str | None:
    error = content.get("error") if isinstance(content, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else None
