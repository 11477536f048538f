"""A check that gives up leaves neither a thread nor a connection behind."""

import threading

import pytest

from gateway.heartbeat.check import HeartbeatCheck
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, Provider
from tests.rehearsal import wait_until
from tests.scripted_server import STREAM, Piece, Request, Script, ScriptedServer, always, chunk
from tests.unit.gateway.builders import AT, a_provider
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.ticking import BAD, LOGGER, target_for

SECONDS = 0.3
HEAD = STREAM.replace(b"text/event-stream", b"application/json")
# Thirty seconds without a longer silence.
DRIPS: tuple[Piece, ...] = (chunk(b" "), 0.05) * 600


def endless_second_probe(received: Request) -> tuple[Piece, ...]:
    return (STREAM, *DRIPS) if b'"stream": true' in received.body else (BAD,)


def run_until_timeout(upstream: Upstream, server: ScriptedServer, *, stream: bool = False) -> str | None:
    provider = a_provider(endpoint=server.url, health=Health("pending" if stream else "healthy"))
    return (
        HeartbeatCheck(upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=SECONDS)
        .run(provider, slot=None)
        .error
    )


def running_threads() -> list[str]:
    """The threads of the check and of the server's connection, which ends when the check disconnects."""
    return [thread.name for thread in threading.enumerate() if thread.name in ("probe", "scripted connection")]


@pytest.mark.parametrize(
    ("script", "stream"),
    [
        (always(HEAD, *DRIPS), False),
        (always(STREAM, *DRIPS), True),
        (always(HEAD.replace(b"200 OK", b"500 No"), *DRIPS), False),
        (endless_second_probe, False),
        (always(2 * SECONDS, HEAD, *DRIPS), False),
    ],
    ids=["a body", "a stream", "an error", "the second probe", "a head after giving up"],
)
def test_aborts_an_endless_answer(patient_upstream: Upstream, serve: Serve, script: Script, stream: bool) -> None:
    error = run_until_timeout(patient_upstream, serve(script), stream=stream)

    assert error
    assert wait_until(lambda: not running_threads()), running_threads()


def test_sends_no_request_after_giving_up(patient_upstream: Upstream, serve: Serve) -> None:
    given_up = threading.Event()

    def slow_key(provider: Provider) -> Target:
        given_up.wait(30)
        return target_for(provider)

    server = serve(always(BAD))
    provider = a_provider(endpoint=server.url, health=Health("healthy"))
    outcome = HeartbeatCheck(patient_upstream, slow_key, now=lambda: AT, logger=LOGGER, seconds=SECONDS).run(
        provider, slot=None
    )
    given_up.set()

    assert "KMS" in str(outcome.error)
    assert wait_until(lambda: not running_threads()), running_threads()
    assert server.requests == []
