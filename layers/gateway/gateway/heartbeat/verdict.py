"""Decides whether the answer to a probe is good. Pure functions; each error says what an operator can do.

An "unusable" answer below is an error with code `provider_answer_unusable`.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from gateway.core.errors import ProviderError
from gateway.core.redaction import redact, redact_secrets
from gateway.proxy.sse import StreamWatcher, error_of
from gateway.proxy.upstream import UpstreamResponse
from gateway.proxy.upstream_errors import MAX_MESSAGE_CHARACTERS, message_of, upstream_error
from gateway.proxy.usage import Usage, merge_usage

# TokenHub books this number for every stream that begins (docs/tokenhub.md, 1.5).
STREAM_TOKENS = 512

CHECK_LOGS = "See `tokenhubctl health` and the log of any proxy in front of TokenHub."
FIX_PROVIDER = "Fix it in TokenHub or at the model's provider."
TOO_LARGE = "The answer is larger than 1 MB. Check that TokenHub listens there."
WEB_PAGE = (
    "The answer is a web page, for example the login page of a proxy in front of TokenHub. "
    "Register TokenHub's own address, ending in /v1."
)
NOT_JSON = "The answer is not JSON. Check that TokenHub listens there and that the endpoint ends in /v1."
NO_CHOICES = "The answer has no choices. Check that the endpoint is OpenAI-compatible."
WRONG_STATUS = "A chat completion has status 200. Check that TokenHub listens there."
NOT_A_STREAM = (
    "The answer to a streaming request is not a stream, so users' streams fail too. "
    "Check that TokenHub listens there and that every proxy in front of it passes streams through."
)
EMPTY_STREAM = "The stream has no completion chunk, so users' streams are empty too. Check the model's provider."
STREAM_TRUNCATED = f"The stream ended before its end marker, so users' streams break off too. {CHECK_LOGS}"
ANSWER_TRUNCATED = f"The answer ended before it was complete. {CHECK_LOGS}"
# The start of a provider's error that TokenHub passes on as a model's text: a JSON error of OpenAI, Google's APIs,
# FastAPI or vLLM, or markup. The tags of reasoning models are not errors.
WRAPPED_ERROR = re.compile(
    r'\s*(?:\[?\s*\{\s*"(?:errors?"|detail"|object"\s*:\s*"error")'
    r"|<(?!(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning)\b)[!?a-z])",
    re.IGNORECASE,
)
# The members that only an error has.
ERROR_MEMBERS = frozenset({"error", "errors", "detail"})


def status_error(answer: UpstreamResponse, body: bytes, secrets: Sequence[str]) -> ProviderError:
    """Returns the error for an answer whose status is not 200."""
    status = answer.status
    if 400 <= status < 600:
        return upstream_error(status, body, secrets, headers=answer.headers)
    if _is_page(body):
        return unusable(WEB_PAGE, status)
    return unusable(f"{_clean(message_of(body), secrets) or f'HTTP {status}'}. {WRONG_STATUS}", status)


def check_answer(body: bytes, secrets: Sequence[str]) -> str | None:
    """Returns the model that a good answer names. Raises ProviderError for any other answer.

    A good answer is JSON with at least one choice and without an error, also in its choices. Its text may be empty,
    because a reasoning model may spend all tokens on thought.
    """
    content = _parse_json(body)
    if content is None:
        raise unusable(WEB_PAGE if _is_page(body) else NOT_JSON)
    choices = content.get("choices") if isinstance(content, dict) else None
    if not isinstance(choices, list) or not choices:
        raise _body_error(body, secrets) or unusable(NO_CHOICES)
    reported = error_of(content)
    if reported:
        message = _reported_message(reported, secrets)
        raise unusable(f"The answer contains an error: {message}. Users get it too. {FIX_PROVIDER}")
    error = _choice_error(content, choices[0], secrets)
    if error is not None:
        raise error
    return model_name(content.get("model"), secrets)


def not_a_stream_error(body: bytes, secrets: Sequence[str]) -> ProviderError:
    """Returns the error for an answer to a streaming request that is not an event stream."""
    if _is_page(body):
        return unusable(WEB_PAGE)
    return _body_error(body, secrets) or unusable(NOT_A_STREAM)


def check_stream(watcher: StreamWatcher, beginning: bytes, secrets: Sequence[str]) -> str | None:
    """Returns the model that a complete stream names. Raises ProviderError for any other stream.

    `watcher` has seen the whole stream. `beginning` is its first bytes.
    """
    if watcher.error:
        message = _reported_message(watcher.error, secrets)
        raise unusable(f"The stream contains an error: {message}. Users' streams break too. {FIX_PROVIDER}")
    if not watcher.spoke:
        raise _body_error(beginning, secrets) or unusable(EMPTY_STREAM)
    if not watcher.whole_at_end():
        raise unusable(STREAM_TRUNCATED)
    return model_name(watcher.model, secrets)


def model_name(model: object, secrets: Sequence[str]) -> str | None:
    """Returns a model's name without secrets, or None for anything but a non-empty text.

    Only the registered key is redacted. A model may be called tokenhub_something, and a redacted name would look like a
    substituted model.
    """
    return redact_secrets(model, secrets)[:MAX_MESSAGE_CHARACTERS] if isinstance(model, str) and model else None


def tokens_used(body: bytes) -> int | None:
    """Returns the prompt and completion tokens that an answer reports, or None if it reports neither."""
    content = _parse_json(body)
    usage = merge_usage(Usage(), content.get("usage") if isinstance(content, dict) else None)
    counts = [count for count in (usage.prompt_tokens, usage.completion_tokens) if count is not None]
    return sum(counts) if counts else None


def unusable(message: str, status: int = 200) -> ProviderError:
    """Returns the error for an answer that no client could use."""
    return ProviderError(status, message, code="provider_answer_unusable", retryable=False)


def _body_error(body: bytes, secrets: Sequence[str]) -> ProviderError | None:
    """Returns the provider's error in a body, if any. TokenHub sends some with status 200 (docs/tokenhub.md, 1.4)."""
    content = _first(_parse_json(body))
    is_error = isinstance(content, dict) and (ERROR_MEMBERS & content.keys() or content.get("object") == "error")
    return _wrapped_error(body, secrets) if is_error or _is_page(body) else None


def _choice_error(content: dict[str, Any], choice: Any, secrets: Sequence[str]) -> ProviderError | None:
    """Returns the provider's error that TokenHub passed on as the text of a choice, if any.

    TokenHub reports no usage for such an answer.
    """
    message = choice.get("message") if isinstance(choice, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str) or content.get("usage") is not None:
        return None
    encoded = text.encode(errors="replace")
    if WRAPPED_ERROR.match(text):
        return _wrapped_error(encoded, secrets)
    return None if _is_page(encoded) else _body_error(encoded, secrets)


def _wrapped_error(body: bytes, secrets: Sequence[str]) -> ProviderError:
    message = _clean(_wrapped_message(body), secrets)
    return unusable(f"The answer wraps an error of a model's provider: {message}. Users get it too. {FIX_PROVIDER}")


def _wrapped_message(body: bytes) -> str:
    content = _first(_parse_json(body))
    if not isinstance(content, dict):
        return message_of(body)
    message = content.get("message") if content.get("object") == "error" else content.get("detail")
    return message if isinstance(message, str) else message_of(json.dumps(content).encode())


def _first(content: Any) -> Any:
    """Returns the first item of a list: Google's APIs send a list with one error."""
    return content[0] if isinstance(content, list) and content else content


def _reported_message(error: object, secrets: Sequence[str]) -> str:
    return _clean(message_of(json.dumps({"error": error}).encode()), secrets)


def _clean(message: str, secrets: Sequence[str]) -> str:
    return redact(message, secrets)[:MAX_MESSAGE_CHARACTERS].rstrip(". \n")


def _is_page(body: bytes) -> bool:
    return body.lstrip().startswith(b"<")


def _parse_json(body: bytes) -> Any:
    """Returns None for a body that is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
