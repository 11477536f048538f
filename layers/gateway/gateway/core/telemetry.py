"""Log lines and metrics. They never contain a key, a prompt or an answer."""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from aws_lambda_powertools import Logger

from gateway.core.redaction import redact

# docs/metrics.md describes each metric.
# Alarms use the metrics without a dimension, because the providers are not known when the stack is deployed.
MetricName = Literal[
    "Ticks",
    "ProvidersFailed",
    "ProvidersSubstituted",
    "OldestBeatAge",
    "BeatsUnfinished",
    "BeatsNotWritten",
    "EventsNotPublished",
    "StreamsTruncated",
    "HeartbeatLatency",
    "HeartbeatFailures",
    "HeartbeatFailuresMuted",
    "Requests",
    "RequestErrors",
    "FirstByteTime",
    "ChunkInterval",
    "RequestTime",
    "PromptTokens",
    "CompletionTokens",
]
UNITS = {
    "OldestBeatAge": "Seconds",
    "HeartbeatLatency": "Milliseconds",
    "FirstByteTime": "Milliseconds",
    "ChunkInterval": "Milliseconds",
    "RequestTime": "Milliseconds",
}


def make_logger(service: str, level: str, redactor: Callable[[str], str] = redact) -> Logger:
    """Returns the logger of a function. It writes JSON lines and redacts all text in them, tracebacks included."""
    # At INFO httpx logs the URL of every request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # At DEBUG botocore logs every response, with decrypted keys. At INFO it logs the lookup of each endpoint at every
    # cold start.
    logging.getLogger("botocore").setLevel(logging.WARNING)

    def serialize(line: Mapping[str, Any]) -> str:
        # A provider's id may have the shape of a key, such as tokenhub_europe.
        # ASCII only: a client's text may have lone surrogates or terminal control characters.
        fields = {name: value if name == "provider" else _redacted(value, redactor) for name, value in line.items()}
        return json.dumps(fields, separators=(",", ":"))

    logger = Logger(service=service, level=level, json_serializer=serialize)
    # Not with Powertools' setLevel: it prefers AWS_LAMBDA_LOG_LEVEL, which Lambda sets to INFO for functions that log
    # JSON. Setting that level in Lambda itself would drop the metrics too, which are log lines at INFO.
    logging.getLogger(service).setLevel(level)
    return logger


def emit(metrics: Mapping[MetricName, float | None], *, namespace: str, provider: str | None = None) -> None:
    """Writes metrics as one EMF log line. The provider is their only dimension. Values of None are left out.

    Powertools would take three times as long, and a tick writes a thousand of these lines.
    """
    known = {name: value for name, value in metrics.items() if value is not None}
    if not known:
        return
    dimensions = {} if provider is None else {"provider": provider}
    described = {
        "Namespace": namespace,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": UNITS.get(name, "Count")} for name in known],
    }
    line: dict[str, Any] = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [described]},
        **dimensions,
        **{name: [float(value)] for name, value in known.items()},
    }
    # One write: heartbeats write from many threads.
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")


def _redacted(value: Any, redactor: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redactor(value)
    if isinstance(value, Mapping):
        # The caller chooses names inside a field: those of its metadata.
        return {redactor(str(name)): _redacted(item, redactor) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item, redactor) for item in value]
    # Anything else is logged as text, an exception for example.
    return value if value is None or isinstance(value, int | float) else redactor(str(value))
