"""The errors that TokenHub and its model providers return: the code, the remedy and the retryability of each.

TokenHub's errors have other shapes than OpenAI's: plain text, `error` as a string, `code: null` (docs/tokenhub.md,
1.4).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.core.errors import Source


@dataclass(frozen=True)
class KnownError:
    """An error: its status, a part of its message in lower case, our code and the remedy.

    `{scope}` in the remedy stands for the scope of the requested path.
    """

    status: int
    text: str
    code: str
    remedy: str
    retryable: bool = True
    source: Source = "tokenhub"


WRONG_PATH = "The provider does not serve this path. Check that the registered endpoint ends in /v1."
KEY_REFUSED = "TokenHub refuses the registered key. Register the provider again with a valid api_key."
# TokenHub caches a valid key (docs/tokenhub.md, 2.3).
CACHED_KEY = "TokenHub takes up to 5 minutes to notice the change. Rotating the key in TokenHub takes effect at once."
LAST_ERROR = "Every model provider of TokenHub failed; the message has the last one's error. Correct it in TokenHub."
LOCKED_VAULT = "After a restart of TokenHub, run `tokenhubctl vault unlock`."
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
    KnownError(
        401,
        "",
        "provider_key_refused",
        "TokenHub, or a server in front of it, refuses the registered key. Register the provider again with a valid "
        "api_key.",
        False,
    ),
    KnownError(
        403,
        "",
        "provider_scope_missing",
        f"The registered key lacks the scope {{scope}}. Add it to the key in TokenHub. {CACHED_KEY}",
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
        f"The budget of the registered key is spent. Raise it in TokenHub, or register another key. {CACHED_KEY}",
        False,
    ),
    KnownError(429, "", "provider_rate_limited", "TokenHub limits the rate of requests. Try again in a moment."),
    KnownError(
        502,
        "no eligible models",
        "provider_no_models",
        "Each of TokenHub's models is missing, disabled or in its cooldown. See `tokenhubctl health`.",
    ),
    # The message of a stream includes the cause. A locked vault sends an empty key (docs/tokenhub.md, 2.4).
    KnownError(
        502,
        "all providers failed for streaming: api error (status 401)",
        "provider_all_failed",
        f"{LAST_ERROR} {LOCKED_VAULT}",
    ),
    KnownError(
        502,
        "all providers failed for streaming",
        "provider_all_failed",
        LAST_ERROR,
    ),
    KnownError(
        502,
        "all providers failed",
        "provider_all_failed",
        "Every model provider of TokenHub failed. `tokenhubctl health` shows the cause.",
    ),
)
# For all other statuses: 4xx, then 5xx.
FALLBACK_ERRORS = (
    KnownError(400, "", "provider_bad_request", "TokenHub does not accept this request. Correct it.", False),
    KnownError(500, "", "provider_error", "TokenHub failed. `tokenhubctl health` shows the state of its providers."),
)
# Errors of a model's provider that TokenHub relays. The registered key, its scopes and the path are right.
MODEL_ACCESS = "The model's provider refuses TokenHub's access. Correct its key or its permissions in TokenHub."
MODEL_ERRORS = (
    KnownError(401, "", "model_access_refused", f"{MODEL_ACCESS} {LOCKED_VAULT}", False, "model"),
    KnownError(403, "", "model_access_refused", MODEL_ACCESS, False, "model"),
    KnownError(
        404,
        "",
        "model_not_found",
        "The model's provider does not serve this model or this kind of request. Choose another model, or correct "
        "the model in TokenHub.",
        False,
        "model",
    ),
    KnownError(
        413,
        "",
        "model_request_too_large",
        "The request is too large for the model's provider. Send a smaller one.",
        False,
        "model",
    ),
    KnownError(
        429,
        "",
        "model_rate_limited",
        "The model's provider limits requests. Try again later, or use another model.",
        source="model",
    ),
    KnownError(529, "", "model_overloaded", "The model's provider is overloaded. Try again.", source="model"),
)
MODEL_FALLBACK_ERRORS = (
    KnownError(
        400, "", "model_bad_request", "The model's provider does not accept this request. Correct it.", False, "model"
    ),
    KnownError(500, "", "model_error", "The model's provider failed. Try again, or use another model.", source="model"),
)
# Statuses of the fallback errors that a second attempt may change: timeout, conflict, too early.
RETRYABLE_STATUSES = (408, 409, 425)
TRY_AGAIN = "Try again."
# Only Anthropic's API has this status.
OVERLOADED = 529
# These two statuses keep their code even if the response is a web page.
PATH_STATUSES = (404, 405)
WEB_PAGE = "This is a web page from a server in front of TokenHub. Check that server and the registered endpoint."
MODEL_WEB_PAGE = "The model's provider, or a server in front of it, sent a web page. Check the provider in TokenHub."


def all_known_errors() -> Iterator[KnownError]:
    """Yields every entry. docs/errors.md and the OpenAPI document are tested against them."""
    yield from KNOWN_ERRORS
    yield from FALLBACK_ERRORS
    yield from MODEL_ERRORS
    yield from MODEL_FALLBACK_ERRORS
