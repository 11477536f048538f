"""What is known of one forwarded request when it is over, and how it is told: one log line, one set of metrics."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from aws_lambda_powertools import Logger

from gateway.core.errors import GatewayError
from gateway.core.redaction import redact
from gateway.core.telemetry import MetricName, emit
from gateway.proxy.request import ForwardRequest
from gateway.proxy.sse import Usage, merge_usage
from gateway.proxy.upstream import Target

StreamEnd = Literal["done", "truncated", "idle_timeout", "deadline", "client_gone", "error"]
UNKNOWN = Usage()
MAX_MODEL_CHARACTERS = 256  # characters of a name that goes into a log line
MAX_PARSED_BYTES = 4 * 1024 * 1024  # bytes: JSON takes up to 27 times as much memory once it is parsed


@dataclass
class RequestLog:
    """`ttfb_ms` and tokens are None when unknown, never 0."""

    request: ForwardRequest
    clock: Callable[[], float] = time.monotonic
    target: Target | None = None
    status: int = 0
    code: str | None = None
    stream_end: StreamEnd | None = None
    bytes_down: int = 0
    chunks: int = 0
    ttfb_ms: int | None = None
    usage: Usage = UNKNOWN
    model_served: str | None = None
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def model_asked(self) -> str | None:
        """The request's own model, or the provider's that stands in for it."""
        return self.request.model or (self.target.model if self.target is not None else None)

    def goes_to(self, target: Target) -> None:
        """The provider is known, whatever it will answer."""
        self.target = target

    def elapsed_ms(self) -> int:
        """Milliseconds since the request came in."""
        return round((self.clock() - self.began) * 1000)

    def count(self, data: bytes) -> None:
        """One piece of the answer goes down."""
        if self.ttfb_ms is None:
            self.ttfb_ms = self.elapsed_ms()
        self.bytes_down += len(data)
        self.chunks += 1

    def learn(self, body: bytes) -> None:
        """Reads the model and the usage of an answer that is no stream; of a very long one they stay unknown."""
        if len(body) > MAX_PARSED_BYTES:
            return
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return
        if isinstance(content, dict):
            self.usage = merge_usage(self.usage, content.get("usage"))
            model = content.get("model")
            self.model_served = model if isinstance(model, str) else None

    def failed(self, error: GatewayError) -> None:
        """The answer is an error."""
        self.status, self.code = error.status, error.code


def report(record: RequestLog, logger: Logger, namespace: str) -> None:
    """Tells of the request once it is over, its metrics in `namespace`. Never a prompt, an answer or a key."""
    provider = None if record.target is None else record.target.provider_id
    duration_ms = record.elapsed_ms()
    fields = {
        "request_id": record.request.request_id,
        "path": record.request.path,
        "provider": provider,
        "status": record.status,
        "code": record.code,
        "stream": record.request.stream,
        "stream_end": record.stream_end,
        "bytes": record.bytes_down,
        "chunks": record.chunks,
        "ttfb_ms": record.ttfb_ms,
        "duration_ms": duration_ms,
        "prompt_tokens": record.usage.prompt_tokens,
        "completion_tokens": record.usage.completion_tokens,
        "model_asked": _short(record.model_asked, record.target),
        "model_served": _short(record.model_served, record.target),
    }
    logger.info("request", extra=fields)
    _measure(record, provider, duration_ms, namespace)


def _measure(record: RequestLog, provider: str | None, duration_ms: int, namespace: str) -> None:
    felt: dict[MetricName, float | None] = {
        "Requests": 1,
        "RequestErrors": 1 if record.code else 0,
        "FirstByteTime": record.ttfb_ms,
        "RequestTime": duration_ms,
    }
    # Over all providers too: CloudWatch sums up no dimension, and a request that reached no provider has none.
    emit(felt | {"StreamsTruncated": 1 if record.stream_end == "truncated" else 0}, namespace=namespace)
    if provider is not None:
        prompt, completion = record.usage.prompt_tokens, record.usage.completion_tokens
        tokens: dict[MetricName, float | None] = {"PromptTokens": prompt, "CompletionTokens": completion}
        emit(felt | tokens, namespace=namespace, provider=provider)


def _short(model: str | None, target: Target | None) -> str | None:
    if model is None:
        return None
    keys = [target.key] if target is not None and target.key else []
    return redact(model, keys)[:MAX_MODEL_CHARACTERS]  # cut last: half a key is no key to the redactor
