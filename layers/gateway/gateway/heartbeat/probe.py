"""One request of a beat: a small chat completion, as a stream or not, by the very `forward()` of users' requests."""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import AnswerTruncated, DeadlineExceeded, StreamTruncated
from gateway.core.redaction import without_end
from gateway.heartbeat.verdict import (
    ANSWER_BROKE,
    STREAM_BROKE,
    STREAM_TOKENS,
    TOO_LARGE,
    judge_answer,
    judge_no_stream,
    judge_status,
    judge_stream,
    name_of,
    tokens_of,
    unusable,
)
from gateway.proxy.request import ForwardRequest
from gateway.proxy.sse import StreamWatcher
from gateway.proxy.upstream import Target, Upstream, UpstreamResponse
from gateway.proxy.upstream_errors import MAX_ERROR_BODY_BYTES
from gateway.registry.provider import Provider

MAX_BODY_BYTES = 1024 * 1024
DATA_FRAME = re.compile(rb"^data:", re.MULTILINE)

NewWatcher = Callable[[], StreamWatcher]


@dataclass
class ProbeProgress:
    """What the requests of a beat have met so far. Whoever waits for them in vain reads it from another thread."""

    asked: bool = False
    status: int | None = None
    model: str | None = None
    ttft_ms: int | None = None
    tokens: int | None = None
    given_up: bool = False
    abort: Callable[[], None] | None = None

    def begin(self) -> None:
        """Before a request: none is made that nobody waits for. Raises DeadlineExceeded."""
        if self.given_up:
            raise DeadlineExceeded("Nobody waits for this heartbeat any more.")
        self.asked, self.status = True, None

    def answered(self, answer: UpstreamResponse) -> None:
        """The head of an answer is here. One that comes after the giving up is hung up at once: each side writes its
        word before it reads the other's."""
        self.abort = answer.abort
        if self.given_up:
            answer.abort()
        self.status = answer.status

    def give_up(self) -> None:
        """Ends, from any thread, the request that is under way, and the work with it."""
        self.given_up = True
        if self.abort is not None:
            self.abort()

    def spend(self, tokens: int | None) -> None:
        """One request's cost; a beat may make two."""
        if tokens is not None:
            self.tokens = (self.tokens or 0) + tokens


@dataclass(frozen=True)
class Probe:
    """Asks a provider. `within`: seconds of silence that end a request, whoever waits; a body that goes on without end
    is hung up by ProbeProgress.give_up()."""

    upstream: Upstream
    new_watcher: NewWatcher
    within: float

    def ask(self, provider: Provider, target: Target, progress: ProbeProgress, *, stream: bool) -> None:
        """Returns when the answer is good. Raises a ForwardingError in words."""
        progress.begin()
        began = time.monotonic()
        secrets = [target.key] if target.key else []
        answer = self.upstream.forward(_request(provider, stream=stream), target, within=self.within)
        with closing(answer.chunks) as chunks:
            progress.answered(answer)
            if answer.status != 200:
                raise judge_status(answer.status, _beginning(chunks, secrets), secrets)
            told = self._watch(answer, progress, secrets, began) if stream else _read(chunks, progress, secrets)
        # As for users' requests: a model's provider may call it by another name, and that is no substitution.
        progress.model = name_of(answer.headers.get("x-negotiated-model"), secrets) or told

    def _watch(self, answer: UpstreamResponse, progress: ProbeProgress, secrets: list[str], began: float) -> str | None:
        """Reads a stream to its end. The model that it names."""
        if not answer.is_stream:
            raise judge_no_stream(_beginning(answer.chunks, secrets), secrets)
        progress.spend(STREAM_TOKENS)
        watcher, beginning = self.new_watcher(), bytearray()
        try:
            for chunk in answer.chunks:
                beginning += chunk[: MAX_ERROR_BODY_BYTES - len(beginning)]
                if DATA_FRAME.search(watcher.feed(chunk)) and progress.ttft_ms is None:
                    progress.ttft_ms = round((time.monotonic() - began) * 1000)
                if watcher.done or watcher.error:  # a client stops here, too
                    break
        except StreamTruncated:
            if watcher.spoke:
                raise unusable(STREAM_BROKE) from None
        return judge_stream(watcher, bytes(beginning), secrets)


def _request(provider: Provider, *, stream: bool) -> ForwardRequest:
    """No temperature (some reasoning models refuse it), no Idempotency-Key (a replayed 200 would hide an outage)."""
    model = provider.heartbeat.model or provider.model
    content: dict[str, Any] = {"model": model} if model else {}
    content |= {"messages": [{"role": "user", "content": "ping"}], "max_tokens": provider.heartbeat.max_tokens}
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


def _read(chunks: Iterator[bytes], progress: ProbeProgress, secrets: list[str]) -> str | None:
    """Reads an answer that is no stream. The model that it names."""
    body = _whole(chunks)
    progress.spend(tokens_of(body))
    return judge_answer(body, secrets)


def _whole(chunks: Iterator[bytes]) -> bytes:
    body = bytearray()
    try:
        for chunk in chunks:
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise unusable(TOO_LARGE)
    except AnswerTruncated:
        raise unusable(ANSWER_BROKE) from None
    return bytes(body)


def _beginning(chunks: Iterator[bytes], secrets: list[str]) -> bytes:
    """As much of a body as there is and as its words need; one that breaks off has said enough."""
    body = bytearray()
    try:
        for chunk in chunks:
            body += chunk
            if len(body) > MAX_ERROR_BODY_BYTES:
                break
    except (AnswerTruncated, StreamTruncated):
        return without_end(body.decode(errors="replace"), secrets).encode()
    return bytes(body)
