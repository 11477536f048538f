"""One heartbeat: a real chat completion, through the very `forward()` that users' requests take."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.background import begin
from gateway.errors import GatewayError, ProviderAnswered
from gateway.health import Outcome
from gateway.records import Provider
from gateway.refusals import refusal
from gateway.request import ForwardRequest
from gateway.sse import Usage, merge_usage
from gateway.telemetry import redact
from gateway.upstream import Target, Upstream

SECONDS = 20.0  # so that two beats fit into a minute
MOST_BYTES = 1024 * 1024
LONGEST_WORDS = 300


@dataclass(frozen=True)
class Completion:
    """What a good beat brought: the model that served, and what it cost."""

    model: str | None
    tokens: int | None


class Beat:
    """Checks providers. `target_of` gives a provider's endpoint and key, `now` the time that is kept."""

    def __init__(
        self,
        upstream: Upstream,
        target_of: Callable[[Provider], Target],
        *,
        now: Callable[[], datetime],
        seconds: float = SECONDS,
    ) -> None:
        self._upstream = upstream
        self._target_of = target_of
        self._now = now
        self._seconds = seconds

    def run(self, provider: Provider, *, slot: str | None) -> Outcome:
        """Beats once. What the provider or its registration does wrong is the outcome, never an exception."""
        started_at, began = self._now(), time.monotonic()
        completion, error = Completion(None, None), None
        try:
            completion = in_time(lambda: self._complete(provider), self._seconds)
        except TimeoutError:
            error = f"{provider.endpoint} had not answered a ping after {self._seconds:g} s. Is TokenHub overloaded?"
        except GatewayError as failure:
            error = _words(failure)
        return Outcome(
            started_at=started_at,
            latency_ms=round((time.monotonic() - began) * 1000),
            error=error,
            model=completion.model,
            tokens=completion.tokens,
            slot=slot,
        )

    def _complete(self, provider: Provider) -> Completion:
        target = self._target_of(provider)
        secrets = [target.key] if target.key else []
        # in_time() keeps the time; this one only lets a thread end that nobody waits for any more.
        answer = self._upstream.forward(_request(provider), target, within=2 * self._seconds)
        with closing(answer.chunks) as chunks:
            body = _read(chunks)
        if answer.status != 200:
            raise refusal(answer.status, body, secrets)
        return _judge(body, secrets)


def in_time[T](work: Callable[[], T], seconds: float) -> T:
    """What `work` returns or raises, or TimeoutError. Work that is late goes on in its thread, and nobody hears of it:
    no timeout of a socket is one of a whole answer, which may come a byte at a time."""
    return begin(work, "ping").result(timeout=seconds)


def _read(chunks: Iterator[bytes]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MOST_BYTES:
            raise _unusable("the answer to a ping is larger than 1 MB")
    return bytes(body)


def _request(provider: Provider) -> ForwardRequest:
    """No temperature (some reasoning models refuse it), no Idempotency-Key (a replayed 200 would hide an outage),
    no stream (TokenHub books one at 512 tokens)."""
    model = provider.heartbeat.model or provider.model
    content: dict[str, Any] = {"model": model} if model else {}
    content |= {"messages": [{"role": "user", "content": "ping"}], "max_tokens": provider.heartbeat.max_tokens}
    return ForwardRequest(
        method="POST",
        path="/chat/completions",
        request_id=f"hb-{provider.id}-{uuid.uuid4().hex}",
        headers={"content-type": "application/json", "user-agent": "tokenhub-gateway"},
        body=json.dumps(content).encode(),
        model=model,
    )


def _judge(body: bytes, secrets: list[str]) -> Completion:
    """Good is JSON with at least one choice; empty text is fine, reasoning models may spend all tokens on thought."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise _unusable(
            "the answer is no JSON: is it TokenHub that answers there, and does the endpoint end in /v1?"
        ) from None
    choices = content.get("choices") if isinstance(content, dict) else None
    if not isinstance(choices, list) or not choices:
        raise _unusable("the answer holds no choices: is it an OpenAI-compatible endpoint?")
    wrapped = _wrapped_error(content, choices[0])
    if wrapped is not None:
        raise _unusable(f"a model provider's error came as an answer: {redact(wrapped, secrets)[:LONGEST_WORDS]}")
    usage = merge_usage(Usage(), content.get("usage"))
    spent = [n for n in (usage.prompt_tokens, usage.completion_tokens) if n is not None]
    model = content.get("model")
    return Completion(model if isinstance(model, str) else None, sum(spent) if spent else None)


def _wrapped_error(content: dict[str, Any], choice: Any) -> str | None:
    """TokenHub wraps a provider's error page into a 200 whose content it is (tokenhub.md, 1.4)."""
    message = choice.get("message") if isinstance(choice, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    return text if isinstance(text, str) and content.get("usage") is None and _is_error_page(text) else None


def _is_error_page(text: str) -> bool:
    if text.lstrip().startswith("<"):
        return True
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "error" in content


def _unusable(what: str) -> ProviderAnswered:
    return ProviderAnswered(200, what, code="provider_answer_unusable", retryable=False)


def _words(failure: GatewayError) -> str:
    return f"HTTP {failure.status}: {failure.message}" if isinstance(failure, ProviderAnswered) else failure.message
