"""Collects facts about a forwarded request and writes its log line and metrics: never a prompt, an answer or a key."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aws_lambda_powertools import Logger

from gateway.core.errors import GatewayError
from gateway.core.redaction import redact
from gateway.core.telemetry import MetricName, emit
from gateway.proxy.caller_metadata import MAX_CHARACTERS
from gateway.proxy.completion_facts import finish_reasons, response_id
from gateway.proxy.request import MODEL_PATHS, ForwardRequest
from gateway.proxy.translate.chat_stream import PATH as CHAT_PATH
from gateway.proxy.upstream import Target
from gateway.proxy.upstream_errors import CONTROL_CHARACTERS
from gateway.proxy.usage import Usage, merge_usage

if TYPE_CHECKING:
    from gateway.proxy.translate.responses_request import TranslatedRequest

StreamEnd = Literal["done", "truncated", "idle_timeout", "deadline", "client_gone", "error"]
UNKNOWN = Usage()
MAX_MODEL_CHARACTERS = 256
MAX_CLIENT_ID_CHARACTERS = 128
MAX_RESPONSE_ID_CHARACTERS = 128
# Parsed JSON takes up to 27 times as much memory as its text.
MAX_PARSED_BYTES = 4 * 1024 * 1024


@dataclass
class RequestLog:
    """Collects what the log line reports. `ttfb_ms` and the token counts are None when unknown, never 0."""

    request: ForwardRequest
    clock: Callable[[], float] = time.monotonic
    target: Target | None = None
    status: int = 0
    code: str | None = None
    stream_end: StreamEnd | None = None
    bytes_down: int = 0
    chunks: int = 0
    ttfb_ms: int | None = None
    # The time from sending the request to the head of the provider's response.
    provider_ms: int | None = None
    usage: Usage = UNKNOWN
    model_served: str | None = None
    # The id of the completion, message or Response that the client receives.
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    # `anthropic` if a stream in that format was translated to chat chunks, `responses` if chat completions were
    # translated to a Response.
    translated: Literal["anthropic", "responses"] | None = None
    # Set where chat completions answer a Responses request.
    translation: "TranslatedRequest | None" = None
    started_at: float = field(init=False)
    _first_chunk_at: float = field(init=False, default=0.0)
    _last_chunk_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.started_at = self.clock()

    @property
    def model_asked(self) -> str | None:
        """The model or model hint that the request names, or else the registered one where the gateway adds that."""
        registered = self.target.model if self.target is not None and self.request.path in MODEL_PATHS else None
        return self.request.model or registered

    @property
    def secrets(self) -> list[str]:
        """The texts that must not be returned to the client."""
        return [self.target.key] if self.target is not None and self.target.key else []

    @property
    def provider_path(self) -> str:
        """The path that the provider answered."""
        return self.request.path if self.translation is None else CHAT_PATH

    def set_translation(self, translation: "TranslatedRequest | None") -> None:
        """Records whether the provider's answer is translated to a Response."""
        self.translation = translation
        if translation is not None:
            self.translated = "responses"

    def set_target(self, target: Target) -> None:
        """Records the provider as soon as it is known, before it answers."""
        self.target = target

    def set_error(self, error: GatewayError) -> None:
        """Records the error that the client receives."""
        self.status, self.code = error.status, error.code

    def elapsed_ms(self) -> int:
        """Milliseconds since the request arrived."""
        return round((self.clock() - self.started_at) * 1000)

    def count(self, data: bytes) -> None:
        """Counts a piece of the answer that is sent to the client."""
        self._last_chunk_at = self.clock()
        if self.ttfb_ms is None:
            self._first_chunk_at = self._last_chunk_at
            self.ttfb_ms = round((self._first_chunk_at - self.started_at) * 1000)
        self.bytes_down += len(data)
        self.chunks += 1

    @property
    def chunk_interval_ms(self) -> float | None:
        """The mean time between the chunks of a stream. None for other answers, and for fewer than two chunks."""
        if self.stream_end is None or self.chunks < 2:
            return None
        return round((self._last_chunk_at - self._first_chunk_at) * 1000 / (self.chunks - 1), 1)

    def read_answer(self, body: bytes) -> None:
        """Reads model, usage, id and finish reasons of a JSON answer up to 4 MB. They stay unknown for a longer one."""
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
            self.response_id, self.finish_reasons = response_id(content), finish_reasons(content)


def write(log: RequestLog, logger: Logger, namespace: str) -> None:
    """Writes the log line and the metrics of a request that is over. `namespace` is that of the metrics."""
    provider = None if log.target is None else log.target.provider_id
    duration_ms = log.elapsed_ms()
    fields = {
        "request_id": log.request.request_id,
        "client_request_id": _loggable(log.request.client_request_id, log.target, MAX_CLIENT_ID_CHARACTERS),
        "metadata": _loggable_labels(log),
        "path": log.request.route or log.request.path,
        # Other paths may contain text of the caller, such as a model's name.
        "provider_path": None if log.translation is None else log.provider_path,
        "provider": provider,
        "status": log.status,
        "code": log.code,
        "stream": log.request.stream,
        "stream_end": log.stream_end,
        "request_bytes": None if log.request.body is None else len(log.request.body),
        "bytes": log.bytes_down,
        "chunks": log.chunks,
        "provider_ms": log.provider_ms,
        "ttfb_ms": log.ttfb_ms,
        "duration_ms": duration_ms,
    }
    logger.info("request", extra=fields | _completion_fields(log))
    _write_metrics(log, provider, duration_ms, namespace)


def _completion_fields(log: RequestLog) -> dict[str, object]:
    """Returns what the log line has about models, tokens and the answer, also by OpenTelemetry's GenAI names."""
    model_asked = _loggable(log.model_asked, log.target, MAX_MODEL_CHARACTERS)
    model_served = _loggable(log.model_served, log.target, MAX_MODEL_CHARACTERS)
    reasons = [_loggable(reason, log.target, MAX_MODEL_CHARACTERS) for reason in log.finish_reasons]
    return {
        "prompt_tokens": log.usage.prompt_tokens,
        "completion_tokens": log.usage.completion_tokens,
        "model_asked": model_asked,
        "model_served": model_served,
        "response_id": _loggable(log.response_id, log.target, MAX_RESPONSE_ID_CHARACTERS),
        "translated": log.translated,
        "gen_ai.request.model": model_asked,
        "gen_ai.response.model": model_served,
        "gen_ai.usage.input_tokens": log.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": log.usage.completion_tokens,
        "gen_ai.response.finish_reasons": reasons or None,
    }


def _write_metrics(log: RequestLog, provider: str | None, duration_ms: int, namespace: str) -> None:
    common: dict[MetricName, float | None] = {
        "Requests": 1,
        "RequestErrors": 1 if log.code else 0,
        "FirstByteTime": log.ttfb_ms,
        "RequestTime": duration_ms,
    }
    streams: dict[MetricName, float | None] = {
        "StreamsTruncated": 1 if log.stream_end == "truncated" else 0,
        "ChunkInterval": log.chunk_interval_ms,
    }
    # Written without a dimension too: CloudWatch does not sum over dimensions, and some requests reach no provider.
    emit(common | streams, namespace=namespace)
    if provider is not None:
        prompt, completion = log.usage.prompt_tokens, log.usage.completion_tokens
        tokens: dict[MetricName, float | None] = {"PromptTokens": prompt, "CompletionTokens": completion}
        emit(common | tokens, namespace=namespace, provider=provider)


def _loggable_labels(log: RequestLog) -> dict[str | None, str | None] | None:
    """Returns the caller's metadata without secrets, also in its names. None if there is none."""
    labels = {
        _loggable(name, log.target, MAX_CHARACTERS): _loggable(value, log.target, MAX_CHARACTERS)
        for name, value in log.request.metadata.items()
    }
    return labels or None


def _loggable(text: str | None, target: Target | None, limit: int) -> str | None:
    """Returns a text of the caller or the provider without secrets and control characters, shortened to `limit`."""
    if text is None:
        return None
    keys = [target.key] if target is not None and target.key else []
    # Redacted before it is shortened: the redactor does not recognise a part of a key.
    return redact(CONTROL_CHARACTERS.sub("", text), keys)[:limit]
