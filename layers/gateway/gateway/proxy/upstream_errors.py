"""Turns a provider's error response into the common error shape. Keeps its status and message, and adds a remedy.

The texts are TokenHub's own: plain text, `error` as a string, `code: null` (docs/tokenhub.md, 1.4).
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import ProviderError
from gateway.core.redaction import redact
from gateway.proxy.unserved import alternative_to

MAX_MESSAGE_CHARACTERS = 500
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# No more than this is read of an error response.
MAX_ERROR_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class KnownError:
    """An error that TokenHub returns: its status, a part of its message in lower case, our code and the remedy."""

    status: int
    text: str
    code: str
    remedy: str
    retryable: bool = True


WRONG_PATH = "The provider does not serve this path. Check that the registered endpoint ends in /v1."
KEY_REFUSED = "TokenHub refuses the registered key. Register the provider again with a valid api_key."
# In order of preference: the first entry with the status and the text applies.
KNOWN_ERRORS = (
    KnownError(
        401,
        "invalid api key format",
        "provider_key_invalid",
        "A TokenHub key starts with tokenhub_. Register the provider again with such a key.",
        False,
    ),
    KnownError(401, "invalid api key", "provider_key_refused", KEY_REFUSED, False),
    KnownError(
        401,
        "authorization required",
        "provider_key_refused",
        "TokenHub requires a key, and none is registered. Register the provider again with its api_key.",
        False,
    ),
    # On /messages and /embeddings TokenHub returns what the model's provider says about TokenHub's key.
    KnownError(
        401,
        "",
        "provider_key_refused",
        "Either TokenHub refuses the registered key, or a model provider refuses TokenHub's. Replace that key.",
        False,
    ),
    KnownError(
        403,
        "",
        "provider_scope_missing",
        "The registered key lacks the scope for this request. Add the scope to the key in TokenHub.",
        False,
    ),
    KnownError(404, "404 page not found", "provider_path_unknown", WRONG_PATH, False),
    KnownError(404, "model", "provider_model_unknown", "GET /v1/models lists the models.", False),
    KnownError(404, "", "provider_path_unknown", WRONG_PATH, False),
    KnownError(405, "", "provider_path_unknown", WRONG_PATH, False),
    KnownError(
        429,
        "monthly budget",
        "provider_budget_spent",
        "The budget of the registered key is spent. Raise it in TokenHub, or register another key.",
        False,
    ),
    KnownError(429, "", "provider_rate_limited", "TokenHub limits the rate of requests. Try again in a moment."),
    KnownError(
        502,
        "no eligible models",
        "provider_no_models",
        "Each of TokenHub's models is missing, disabled or in its cooldown. Check TokenHub's models and providers.",
    ),
    # The message of a stream includes the cause.
    KnownError(
        502,
        "all providers failed for streaming",
        "provider_all_failed",
        "Every model provider of TokenHub failed; the message has the last one's error. Correct it in TokenHub.",
    ),
    KnownError(
        502,
        "all providers failed",
        "provider_all_failed",
        "Every model provider of TokenHub failed. Check TokenHub's log for the cause.",
    ),
)
# For all other statuses: 4xx, then 5xx.
FALLBACK_ERRORS = (
    KnownError(400, "", "provider_bad_request", "TokenHub does not accept this request. Correct it.", False),
    KnownError(500, "", "provider_error", "TokenHub failed. Check its log."),
)
# These two keep their code also when a web page is the answer.
PATH_STATUSES = (404, 405)
WEB_PAGE = "This is a web page from a server in front of TokenHub. Check that server and the registered endpoint."


def upstream_error(status: int, body: bytes, secrets: Iterable[str] = (), *, path: str = "") -> ProviderError:
    """Returns the error for a provider's response to a request for `path`. Removes `secrets` from its message.

    A status outside 400 to 599 becomes a 502: clients would take it for success, and API Gateway forwards no status
    of 600 or more.
    """
    message = redact(message_of(body), secrets)[:MAX_MESSAGE_CHARACTERS]
    if not 400 <= status < 600:
        status, message = 502, f"HTTP {status}: {message}".rstrip(": ")
    message = message or f"HTTP {status}"
    known = _web_page_error(status) if body.lstrip().startswith(b"<") else _known_error(status, message)
    remedy = (alternative_to(path) if known.remedy == WRONG_PATH else None) or known.remedy
    return ProviderError(status, f"{message.rstrip('.')}. {remedy}", code=known.code, retryable=known.retryable)


def message_of(body: bytes) -> str:
    """Returns the message of an error response, or else its whole text, without control characters. Not redacted."""
    text = body.decode(errors="replace").strip()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return "a web page" if text.startswith("<") else CONTROL_CHARACTERS.sub(" ", text)
    return CONTROL_CHARACTERS.sub(" ", _error_message(content) or text)


def _known_error(status: int, message: str) -> KnownError:
    matches = (known for known in KNOWN_ERRORS if known.status == status and known.text in message.lower())
    return next(matches, FALLBACK_ERRORS[status >= 500])


def _web_page_error(status: int) -> KnownError:
    """TokenHub itself answers in plain text or JSON, never with a web page."""
    code = "provider_path_unknown" if status in PATH_STATUSES else FALLBACK_ERRORS[status >= 500].code
    return KnownError(status, "", code, WEB_PAGE, retryable=status >= 500)


def _error_message(content: Any) -> str | None:
    error = content.get("error") if isinstance(content, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else None
