"""Log lines, metrics and redaction: what the gateway says about itself, and never a key, a prompt or an answer."""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

NAMESPACE = "TokenHubGateway"

# Alarms use those without a dimension, because providers are not known when the stack is deployed.
MetricName = Literal[
    "Ticks",
    "ProvidersFailed",
    "OldestBeatAge",
    "BeatsUnfinished",
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
KEY_SHAPED = re.compile(r"tokenhub_\w{4,}|\bsk-[\w-]{8,}|(?<=[Bb]earer )[^\s\"',}]+")
REDACTED = "[redacted]"


def make_logger(service: str, level: str) -> Logger:
    """The logger of one function: a JSON line each."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request, with its URL
    return Logger(service=service, level=level)


def emit(metrics: Mapping[MetricName, float | None], provider: str | None = None) -> None:
    """Writes metrics as one EMF log line, with the provider as their only dimension. None is not written."""
    known = {name: value for name, value in metrics.items() if value is not None}
    if not known:
        return
    line = EphemeralMetrics(namespace=NAMESPACE)
    if provider is not None:
        line.add_dimension(name="provider", value=provider)
    for name, value in known.items():
        line.add_metric(name=name, unit=UNITS.get(name, MetricUnit.Count), value=value)
    line.flush_metrics()


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets and without anything of the shape of a key."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, REDACTED)
    return KEY_SHAPED.sub(REDACTED, text)
