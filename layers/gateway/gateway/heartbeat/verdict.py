"""What the body of an answer to a ping is worth: pure, and each failure in words that say what to do."""

import json
import re
from collections.abc import Sequence
from typing import Any

from gateway.core.errors import ProviderError
from gateway.core.redaction import redact, without
from gateway.proxy.sse import StreamWatcher, Usage, merge_usage
from gateway.proxy.upstream_errors import MAX_MESSAGE_CHARACTERS, message_of, upstream_error

STREAM_TOKENS = 512  # as TokenHub books every stream that begins (tokenhub.md, 1.5)

TOO_LARGE = "the answer to a ping is larger than 1 MB: is it TokenHub that answers there?"
WEB_PAGE = (
    "a web page came instead of an answer: something in front of TokenHub, like a login page, answers there. "
    "Register TokenHub's own address, ending in /v1."
)
NO_JSON = "the answer is no JSON: is it TokenHub that answers there, and does the endpoint end in /v1?"
NO_CHOICES = "the answer holds no choices: is it an OpenAI-compatible endpoint?"
NO_ANSWER = "That is no answer to a ping: is it TokenHub that answers there?"
NO_STREAM = (
    "a stream was asked for, and the answer is none. Users' streams fail the same way: is it TokenHub that answers "
    "there, and does everything in front of it pass streams on?"
)
EMPTY_STREAM = "the stream held no chunk of an answer. Users' streams are empty, too: look at TokenHub's log."
STREAM_BROKE = (
    "the stream ended before its end mark. Users' streams break off, too: "
    "look at TokenHub's log, and at what stands in front of it."
)
ANSWER_BROKE = "the answer broke off before its end: look at TokenHub's log, and at what stands in front of it."
# How a provider's error begins that TokenHub takes for a model's text; one that thinks aloud begins with a tag, too.
WRAPPED = re.compile(
    r'\s*(?:\{\s*"error"\s*:|<(?!(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning)\b)[!?a-z])', re.IGNORECASE
)
PROVIDERS_ERROR = "set that right in TokenHub or at the model's provider"


def judge_status(status: int, body: bytes, secrets: Sequence[str]) -> ProviderError:
    """What an answer is that is no 200."""
    if 400 <= status < 600:
        return upstream_error(status, body, secrets)
    if _is_page(body):
        return unusable(WEB_PAGE, status)
    return unusable(f"{_clean(message_of(body), secrets) or f'HTTP {status}'}. {NO_ANSWER}", status)


def judge_answer(body: bytes, secrets: Sequence[str]) -> str | None:
    """The model that served. Good is JSON with at least one choice; empty text is fine, reasoning models may spend all
    tokens on thought. Raises ProviderError."""
    content = _json(body)
    if content is None:
        raise unusable(WEB_PAGE if _is_page(body) else NO_JSON)
    choices = content.get("choices") if isinstance(content, dict) else None
    if not isinstance(choices, list) or not choices:
        raise _failed_answer(body, secrets) or unusable(NO_CHOICES)
    error = _wrapped(content, choices[0], secrets)
    if error is not None:
        raise error
    return name_of(content.get("model"), secrets)


def judge_no_stream(body: bytes, secrets: Sequence[str]) -> ProviderError:
    """Why an answer is no stream though one was asked for."""
    return (_failed_answer(body, secrets) if not _is_page(body) else unusable(WEB_PAGE)) or unusable(NO_STREAM)


def judge_stream(watcher: StreamWatcher, beginning: bytes, secrets: Sequence[str]) -> str | None:
    """The model that served a stream that has ended. Raises ProviderError unless the stream is whole."""
    if watcher.error:
        said = message_of(json.dumps({"error": watcher.error}).encode())
        raise unusable(
            f"the stream held an error: {_clean(said, secrets)}. Users' streams break, too: {PROVIDERS_ERROR}."
        )
    if not watcher.spoke:
        raise _failed_answer(beginning, secrets) or unusable(EMPTY_STREAM)
    if not watcher.whole_at_end():
        raise unusable(STREAM_BROKE)
    return name_of(watcher.model, secrets)


def name_of(model: object, secrets: Sequence[str]) -> str | None:
    """A model's name, None where it is none. Without the key alone: a model may be called tokenhub_something, and
    another name would look like a substitution."""
    return without(model, secrets)[:MAX_MESSAGE_CHARACTERS] if isinstance(model, str) and model else None


def tokens_of(body: bytes) -> int | None:
    """What an answer says that it cost: prompt and completion together, None where it does not say."""
    content = _json(body)
    usage = merge_usage(Usage(), content.get("usage") if isinstance(content, dict) else None)
    spent = [n for n in (usage.prompt_tokens, usage.completion_tokens) if n is not None]
    return sum(spent) if spent else None


def unusable(what: str, status: int = 200) -> ProviderError:
    """An answer that no client could use."""
    return ProviderError(status, what, code="provider_answer_unusable", retryable=False)


def _failed_answer(body: bytes, secrets: Sequence[str]) -> ProviderError | None:
    """TokenHub wraps a provider's error page into a 200 (tokenhub.md, 1.4)."""
    content = _json(body)
    failed = _is_page(body) or (isinstance(content, dict) and "error" in content)
    return _providers_error(body, secrets) if failed else None


def _providers_error(body: bytes, secrets: Sequence[str]) -> ProviderError:
    said = _clean(message_of(body), secrets)
    return unusable(f"a model provider's error came as an answer: {said}. Users get it, too: {PROVIDERS_ERROR}.")


def _wrapped(content: dict[str, Any], choice: Any, secrets: Sequence[str]) -> ProviderError | None:
    """The error that the text of a choice is: only then is there no usage."""
    message = choice.get("message") if isinstance(choice, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str) or content.get("usage") is not None:
        return None
    said = text.encode(errors="replace")
    if WRAPPED.match(text):
        return _providers_error(said, secrets)
    return None if _is_page(said) else _failed_answer(said, secrets)


def _clean(said: str, secrets: Sequence[str]) -> str:
    return redact(said, secrets)[:MAX_MESSAGE_CHARACTERS].rstrip(". \n")


def _is_page(body: bytes) -> bool:
    return body.lstrip().startswith(b"<")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
