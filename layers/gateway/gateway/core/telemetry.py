"""Log lines and metrics: what the gateway says about itself, and never a key, a prompt or an answer."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from gateway.core.redaction import redact

# docs/metrics.md says of each when it is written and what it tells.
# Alarms use those without a dimension, because providers are not known when the stack is deployed.
MetricName = Literal[
    "Ticks",
    "ProvidersFailed",
    "OldestBeatAge",
    "BeatsUnfinished",
    "BeatsNotWritten",
    "EventsNotPublished",
    "StreamsTruncated",
    "HeartbeatLatency",
    "HeartbeatFailures",
    "Requests",
    "RequestErrors",
    "FirstByteTime",
    "RequestTime",
    "PromptTokens",
    "CompletionTokens",
]
UNITS = {
    "OldestBeatAge": MetricUnit.Seconds,
    "HeartbeatLatency": MetricUnit.Milliseconds,
    "FirstByteTime": MetricUnit.Milliseconds,
    "RequestTime": MetricUnit.Milliseconds,
}


def make_logger(service: str, level: str, redactor: Callable[[str], str] = redact) -> Logger:
    """The logger of one function: a JSON line each, every text in it redacted, tracebacks too."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request, with its URL
    logging.getLogger("botocore").setLevel(logging.INFO)  # at DEBUG it writes every answer, decrypted keys included

    def serialised(line: Mapping[str, Any]) -> str:
        # In ASCII: what a client writes may be half a character, or one that a terminal obeys.
        return json.dumps(_redacted(line, redactor), separators=(",", ":"))

    logger = Logger(service=service, level=level, json_serializer=serialised)
    # Past Powertools' own setLevel: Lambda sets a level (AWS_LAMBDA_LOG_LEVEL) for every function that logs JSON, INFO
    # unless told otherwise, and Powertools prefers it. Telling Lambda is no way: above INFO it drops the metrics, too.
    logging.getLogger(service).setLevel(level)
    return logger


def emit(metrics: Mapping[MetricName, float | None], *, namespace: str, provider: str | None = None) -> None:
    """Writes metrics as one EMF log line, with the provider as their only dimension. None is not written."""
    known = {name: value for name, value in metrics.items() if value is not None}
    if not known:
        return
    line = EphemeralMetrics(namespace=namespace)
    if provider is not None:
        line.add_dimension(name="provider", value=provider)
    for name, value in known.items():
        line.add_metric(name=name, unit=UNITS.get(name, MetricUnit.Count), value=value)
    line.flush_metrics()


def _redacted(value: Any, redactor: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redactor(value)
    if isinstance(value, Mapping):  # an id may be tokenhub_europe, and is no key
        return {name: found if name == "provider" else _redacted(found, redactor) for name, found in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(found, redactor) for found in value]
    return value if value is None or isinstance(value, int | float) else redactor(str(value))  # an exception, say
