"""Builds records for tests."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings

from gateway.heartbeat.health import Outcome
from gateway.proxy.request import ForwardRequest
from gateway.registry.provider import Provider
from gateway.registry.schemas import PatchIn, ProviderIn, ReplacementIn

WEEK = timedelta(days=7)
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
KEY = "tokenhub_" + "0123456789abcdef" * 4
OTHER_KEY = "tokenhub_" + "fedcba9876543210" * 4
# Fewer examples than hypothesis runs by default.
BRIEFLY = settings(max_examples=40, deadline=None)
ENDPOINT = "https://tokenhub.example.com/v1"


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def a_provider(**changes: Any) -> Provider:
    plain = Provider("main", "main", "openai", ENDPOINT, "", "v1", "r1", AT, AT)
    return replace(plain, **changes)


def wanted(**fields: Any) -> ProviderIn:
    return ProviderIn.model_validate({"id": "main", "endpoint": ENDPOINT} | fields)


def replacement(**fields: Any) -> ReplacementIn:
    return ReplacementIn.model_validate({"endpoint": ENDPOINT} | fields)


def patch(**fields: Any) -> PatchIn:
    return PatchIn.model_validate(fields)


def an_outcome(seconds: float = 0, **changes: Any) -> Outcome:
    return replace(Outcome(started_at=after(seconds), latency_ms=12), **changes)


def a_request(**changes: Any) -> ForwardRequest:
    plain = ForwardRequest("POST", "/chat/completions", "request-1", body=b'{"messages": []}')
    return replace(plain, **changes)


class Clock:
    """Advances by one second with each call."""

    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class SettableClock:
    """Returns `now`, in seconds, which the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def completion(text: str | None = "pong", **more: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
    return json.dumps({"model": "echo", "choices": [choice], "usage": usage} | more).encode()
