"""One request of a heartbeat: a small chat completion, sent through the same `forward()` as users' requests."""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from gateway.core.errors import AnswerTruncated, DeadlineExceeded, StreamTruncated
from gateway.heartbeat.verdict import (
    ANSWER_TRUNCATED,
    STREAM_TOKENS,
    STREAM_TRUNCATED,
    TOO_LARGE,
    check_answer,
    check_stream,
    model_name,
    not_a_stream_error,
    status_error,
    tokens_used,
    unusable,
)
from gateway.proxy.model_names import is_substituted
from gateway.proxy.request import ForwardRequest
from gateway.proxy.sse import StreamWatcher
from gateway.proxy.upstream import Target, Upstream, UpstreamResponse
from gateway.proxy.upstream_errors import MAX_ERROR_BODY_BYTES, read_error_body
from gateway.registry.provider import Provider

MAX_BODY_BYTES = 1024 * 1024
DATA_FRAME = re.compile(rb"^data:", re.MULTILINE)

NewWatcher = Callable[[], StreamWatcher]
# The field that limits the tokens of an answer. OpenAI's reasoning models accept only the second one.
TokenField = Literal["max_tokens", "max_completion_tokens"]


@dataclass
class ProbeProgress:
    """The results of a heartbeat's requests so far. The thread that waits for them reads it after a timeout."""

    started: bool = False
    status: int | None = None
    model: str | None = None
    ttft_ms: int | None = None
    tokens: int | None = None
    max_tokens_refused: bool = False
    warning: str | None = None
    given_up: bool = False
    abort: Callable[[], None] | None = None

    def start_request(self) -> None:
        """Must be called before each request. Raises DeadlineExceeded if the heartbeat was given up."""
        if self.given_up:
            raise DeadlineExceeded("The heartbeat was given up. Run another one.")
        self.started, self.status = True, None

    def receive_head(self, answer: UpstreamResponse) -> None:
        """Must be called when the head of an answer has arrived. Aborts the answer if the heartbeat was given up.

        Sets `abort` before it reads `given_up`, and give_up() the other way round, so that one of them always aborts.
        """
        self.abort = answer.abort
        if self.given_up:
            answer.abort()
        self.status = answer.status

    def give_up(self) -> None:
        """Ends the current request from any thread and prevents further ones."""
        self.given_up = True
        if self.abort is not None:
            self.abort()

    def add_tokens(self, tokens: int | None) -> None:
        """Adds the cost of one request. A heartbeat may make two."""
        if tokens is not None:
            self.tokens = (self.tokens or 0) + tokens


@dataclass(frozen=True)
class Probe:
    """Sends a probe to a provider.

    `within` limits the silence on the connection, in seconds. ProbeProgress.give_up() ends an answer without end.
    """

    upstream: Upstream
    new_watcher: NewWatcher
    within: float

    def run(
        self,
        provider: Provider,
        target: Target,
        progress: ProbeProgress,
        token_field: TokenField,
        *,
        stream: bool,
    ) -> None:
        """Sends one request and returns when the answer is good. Raises a ForwardingError otherwise."""
        progress.start_request()
        began = time.monotonic()
        secrets = [target.key] if target.key else []
        request = _request(provider, token_field, stream=stream)
        answer = self.upstream.forward(request, target, within=self.within, repeat_if_dropped=True)
        with closing(answer.chunks) as chunks:
            progress.receive_head(answer)
            if answer.status != 200:
                raise status_error(answer, read_error_body(chunks, secrets), secrets)
            if stream:
                named = self._read_stream(answer, progress, secrets, began)
            else:
                named = _read_answer(chunks, progress, secrets)
        negotiated = model_name(answer.headers.get("x-negotiated-model"), secrets)
        # A model's provider may use another name for the model that TokenHub negotiated. That is not a substitution.
        progress.model = negotiated or named
        if "x-alias-from" not in answer.headers and is_substituted(request.model, negotiated, named):
            progress.warning = (
                f"TokenHub answered with the model {progress.model} instead of {request.model}. "
                "Check that the model is registered and enabled in TokenHub."
            )

    def _read_stream(
        self, answer: UpstreamResponse, progress: ProbeProgress, secrets: list[str], began: float
    ) -> str | None:
        """Returns the model that a good stream names. Stops where a client stops: at the end marker or an error."""
        if not answer.is_stream:
            raise not_a_stream_error(read_error_body(answer.chunks, secrets), secrets)
        progress.add_tokens(STREAM_TOKENS)
        watcher, beginning = self.new_watcher(), bytearray()
        try:
            for chunk in answer.chunks:
                beginning += chunk[: MAX_ERROR_BODY_BYTES - len(beginning)]
                if DATA_FRAME.search(watcher.feed(chunk)) and progress.ttft_ms is None:
                    progress.ttft_ms = round((time.monotonic() - began) * 1000)
                if watcher.done or watcher.error:
                    break
        except StreamTruncated:
            if watcher.spoke:
                raise unusable(STREAM_TRUNCATED) from None
        return check_stream(watcher, bytes(beginning), secrets)


def _request(provider: Provider, token_field: TokenField, *, stream: bool) -> ForwardRequest:
    """Returns a chat completion request.

    It has no temperature, which some reasoning models reject, and no Idempotency-Key, because a replayed answer would
    hide an outage.
    """
    model = provider.heartbeat.model or provider.model
    content: dict[str, Any] = {"model": model} if model else {}
    content |= {"messages": [{"role": "user", "content": "ping"}]}
    if provider.heartbeat.max_tokens is not None:
        content[token_field] = provider.heartbeat.max_tokens
    if stream:
        content["stream"] = True
    return ForwardRequest(
        method="POST",
        path="/chat/completions",
        request_id=f"hb-{provider.id}-{uuid.uuid4().hex}",
        headers={"content-type": "application/json", "user-agent": "tokenhub-gateway"},
        body=json.dumps(content).encode(),
        stream=stream,
        model=model,
    )


def _read_answer(chunks: Iterator[bytes], progress: ProbeProgress, secrets: list[str]) -> str | None:
    """Returns the model that a good answer names."""
    body = _read_body(chunks)
    progress.add_tokens(tokens_used(body))
    return check_answer(body, secrets)


def _read_body(chunks: Iterator[bytes]) -> bytes:
    body = bytearray()
    try:
        for chunk in chunks:
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise unusable(TOO_LARGE)
    except AnswerTruncated:
        raise unusable(ANSWER_TRUNCATED) from None
    return bytes(body)
