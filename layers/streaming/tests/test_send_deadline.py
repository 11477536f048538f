"""The streaming layer stops sending two seconds before Lambda ends the function."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_streaming import SECONDS_BEFORE_LAMBDA_ENDS, StreamingResponse, hook, streaming


class Context:
    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return round((self._ends_at - time.monotonic()) * 1000)


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 65_536


def test_closes_the_body_before_lambda_ends_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine may be late, but not three times.
    assert any(seconds_to_close(monkeypatch) < 1 + SECONDS_BEFORE_LAMBDA_ENDS for _ in range(3))


def seconds_to_close(monkeypatch: pytest.MonkeyPatch) -> float:
    """Returns how long a response to a peer that never reads was sent."""
    calls: list[float] = []
    monkeypatch.setattr(hook, "response_mode", lambda: "stream")
    started = time.monotonic()
    context = Context(SECONDS_BEFORE_LAMBDA_ENDS + 1)

    @streaming
    def handler(_event: None, _context: Context) -> StreamingResponse:
        return StreamingResponse(200, {}, endless(), lambda: calls.append(time.monotonic()))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", f"127.0.0.1:{listener.getsockname()[1]}")
        stream: Any = handler(None, context)
        hook._send(stream, "the-id", None)

    assert len(calls) == 1
    assert calls[0] - started >= 1
    return calls[0] - started
