"""Turns a provider's error response into the common error shape. Keeps its status and message, and adds a remedy.

TokenHub's own errors and those of a model's provider have different codes and sources. TokenHub relays the latter with
the header X-Negotiated-Model, or before the first byte of a stream with the text "upstream NNN: " (docs/tokenhub.md,
2.1).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from gateway.core.errors import ForwardingError, ProviderError
from gateway.core.redaction import redact, redact_cut_secrets
from gateway.proxy.known_errors import (
    FALLBACK_ERRORS,
    KNOWN_ERRORS,
    MODEL_ERRORS,
    MODEL_FALLBACK_ERRORS,
    MODEL_WEB_PAGE,
    OVERLOADED,
    PATH_STATUSES,
    RETRYABLE_STATUSES,
    TRY_AGAIN,
    WEB_PAGE,
    WRONG_PATH,
    KnownError,
)
from gateway.proxy.unserved import alternative_to

MAX_MESSAGE_CHARACTERS = 500
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# No more than this is read of an error response.
MAX_ERROR_BODY_BYTES = 64 * 1024
# Stands for the message of an error whose body is an HTML page.
PAGE_MESSAGE = "a web page"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
# TokenHub's text for a model provider's error that arrived instead of a stream.
RELAYED = re.compile(r"upstream (\d{3}): ?(.*)", re.DOTALL)
SCOPES = {"/embeddings": "embeddings", "/plan": "plan"}
DEFAULT_SCOPE = "chat"
# The amounts in TokenHub's refusal of a request beyond the budget, in US dollars.
BUDGET_FIELDS = ("budget_usd", "spent_usd")
ANTHROPIC_TYPES = frozenset(
    {
        "api_error",
        "authentication_error",
        "billing_error",
        "invalid_request_error",
        "not_found_error",
        "overloaded_error",
        "permission_error",
        "rate_limit_error",
        "request_too_large",
        "timeout_error",
    }
)
# An error that a frame of a stream reports, after the status 200.
STREAM_ERROR_CODE = "provider_stream_error"


def upstream_error(
    status: int,
    body: bytes,
    secrets: Iterable[str] = (),
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    path: str = "",
) -> ProviderError:
    """Returns the error for a provider's response. Removes `secrets` from its message.

    `headers` are the forwarded headers of the response, `path` is that of the request. A status outside 400 to 599
    becomes a 502: clients would take it for success, and API Gateway forwards no status of 600 or more.
    """
    is_relayed = "x-negotiated-model" in headers
    relayed = RELAYED.match(message_of(body))
    if relayed and 400 <= int(relayed[1]) < 600:
        is_relayed, status, body = True, int(relayed[1]), relayed[2].encode(errors="replace")
    message = redact(message_of(body), secrets)[:MAX_MESSAGE_CHARACTERS]
    if not 400 <= status < 600:
        status, message = 502, f"HTTP {status}: {message}".rstrip(": ")
    message = message or f"HTTP {status}"
    known = _find(status, message, is_page=_is_page(body), is_relayed=is_relayed or status == OVERLOADED)
    alternative = alternative_to(path) if known.remedy == WRONG_PATH else None
    remedy = alternative or known.remedy.format(scope=SCOPES.get(path, DEFAULT_SCOPE))
    return ProviderError(
        status,
        f"{message.rstrip('.')}. {remedy}",
        code=known.code,
        source=known.source,
        own_type=_anthropic_type(body),
        # The provider's own word decides.
        retryable=headers["x-should-retry"] == "true" if "x-should-retry" in headers else known.retryable,
    )


def read_error_body(chunks: Iterator[bytes], secrets: Iterable[str] = ()) -> bytes:
    """Returns as much of a body as an error message needs, also when the body breaks off.

    A body that breaks off may end inside a secret, so the beginning of a secret at its end is redacted.
    """
    body = bytearray()
    try:
        for chunk in chunks:
            body += chunk
            if len(body) > MAX_ERROR_BODY_BYTES:
                break
    except ForwardingError:
        return redact_cut_secrets(body.decode(errors="replace"), secrets).encode()
    return bytes(body)


def stream_error(error: object, secrets: Iterable[str] = ()) -> ProviderError:
    """Returns the error for one that a frame of a stream reported: an `error` member, or a message."""
    message = redact(message_of(json.dumps({"error": error}).encode()), secrets)[:MAX_MESSAGE_CHARACTERS].rstrip(".")
    remedy = "The stream broke off. Discard the received part and try again."
    return ProviderError(502, f"{message}. {remedy}", code=STREAM_ERROR_CODE, retryable=True, source="model")


def message_of(body: bytes) -> str:
    """Returns the message of an error response, or else its whole text, without control characters. Not redacted."""
    text = body.decode(errors="replace").strip()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return PAGE_MESSAGE if text.startswith("<") else CONTROL_CHARACTERS.sub(" ", text)
    return CONTROL_CHARACTERS.sub(" ", _error_message(content) or text)


def _find(status: int, message: str, *, is_page: bool, is_relayed: bool) -> KnownError:
    known_errors, fallbacks = (MODEL_ERRORS, MODEL_FALLBACK_ERRORS) if is_relayed else (KNOWN_ERRORS, FALLBACK_ERRORS)
    fallback = fallbacks[status >= 500]
    if is_page:
        # TokenHub itself answers in plain text or JSON, never with a web page.
        code = "provider_path_unknown" if status in PATH_STATUSES and not is_relayed else fallback.code
        return replace(fallback, code=code, remedy=MODEL_WEB_PAGE if is_relayed else WEB_PAGE)
    if status in RETRYABLE_STATUSES:
        return replace(fallback, remedy=TRY_AGAIN, retryable=True)
    matches = (known for known in known_errors if known.status == status and known.text in message.lower())
    return next(matches, fallback)


def _is_page(body: bytes) -> bool:
    return body.lstrip().startswith(b"<")


def _anthropic_type(body: bytes) -> str | None:
    """Returns the type of an error in Anthropic's shape. Anthropic's SDK raises an exception by it."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = content.get("error") if isinstance(content, dict) and content.get("type") == "error" else None
    error_type = error.get("type") if isinstance(error, dict) else None
    return error_type if isinstance(error_type, str) and error_type in ANTHROPIC_TYPES else None


def _error_message(content: Any) -> str | None:
    error = content.get("error") if isinstance(content, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    if not isinstance(message, str):
        return None
    amounts = ", ".join(f"{name} {content[name]}" for name in BUDGET_FIELDS if _is_amount(content.get(name)))
    return f"{message} ({amounts})" if amounts else message


def _is_amount(value: object) -> bool:
    return type(value) in (int, float)
