"""Sessions against a scripted server on a real socket."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.core.telemetry import make_logger
from gateway.proxy.forwarder import Forwarder
from gateway.proxy.request import ForwardRequest
from gateway.proxy.responses_fallback import ResponsesFallback
from gateway.proxy.session import SPARE_SECONDS, Environment, Session
from gateway.proxy.settings import Limits
from gateway.proxy.upstream import Target, Upstream, UpstreamResponse
from tests.rehearsal import wait_until
from tests.scripted_server import STREAM, Script, ScriptedServer, chunk
from tests.unit.gateway.builders import a_request
from tests.unit.gateway.conftest import QUICK, MakeUpstream, Serve

MESSAGES = {"messages": [{"role": "user", "content": "Hello"}]}
ASK = json.dumps(MESSAGES).encode()
ASK_STREAM = json.dumps(MESSAGES | {"stream": True}).encode()


class Direct(Forwarder):
    """A forwarder with one provider and without a registry."""

    def __init__(self, upstream: Upstream, endpoint: str) -> None:
        self._only = Target("main", endpoint)
        self._direct = ResponsesFallback(upstream)

    def send(
        self, request: ForwardRequest, _provider: str | None, *, deadline: float, on_target: Callable[[Target], None]
    ) -> tuple[Target, UpstreamResponse]:
        on_target(self._only)
        return self._only, self._direct.forward(request, self._only, within=deadline - time.monotonic())


class Sessions:
    """Makes sessions with a server that answers by a script."""

    def __init__(self, serve: Serve, make_upstream: MakeUpstream) -> None:
        self._serve, self._make_upstream = serve, make_upstream
        self.upstream: Upstream
        self.server: ScriptedServer
        self.started = False

    def to(
        self,
        script: Script,
        body: bytes = ASK,
        *,
        limits: Limits = QUICK,
        seconds: float = 30,
        clean_end: float = 0.5,
        path: str = "/chat/completions",
    ) -> Session:
        self.server, self.upstream, self.started = self._serve(script), self._make_upstream(limits), True
        return self.again(body, limits=limits, seconds=seconds, clean_end=clean_end, path=path)

    def again(
        self,
        body: bytes = ASK_STREAM,
        *,
        limits: Limits = QUICK,
        seconds: float = 30,
        clean_end: float = 0.5,
        path: str = "/chat/completions",
    ) -> Session:
        """Makes another session with the same server and the same connections."""
        # A logger keeps the stdout that it was created with, so each session gets a logger of another name.
        logger = make_logger(uuid.uuid4().hex, "INFO")
        environment = Environment(Direct(self.upstream, self.server.url), limits, logger, "Tests", clean_end)
        return Session(environment, replace(a_request(), body=body, path=path), seconds_left=seconds + SPARE_SECONDS)

    def assert_over(self) -> None:
        """Waits until the session's thread has released its connection."""
        assert wait_until(lambda: all(connection.is_idle() for connection in self._connections()))

    def _connections(self) -> list[Any]:
        transport = self.upstream._transport
        return transport._pool.connections if isinstance(transport, httpx.HTTPTransport) else []


def stream_of(*frames: bytes) -> tuple[bytes, ...]:
    return (STREAM, *(chunk(frame) for frame in frames))


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The log lines of requests so far."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line.get("message") == "request"]
