"""A beat that was given up keeps neither its thread nor its connection."""

import threading
import time

import pytest

from gateway.heartbeat.check import Beat
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, Provider
from tests.rehearsal import wait_until
from tests.unit.gateway.builders import AT, a_provider
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.servers import STREAM, Piece, Received, Script, Server, always, chunk
from tests.unit.gateway.ticking import BAD, LOGGER, target_for

SECONDS = 0.3
HEAD = STREAM.replace(b"text/event-stream", b"application/json")
DRIPS: tuple[Piece, ...] = (chunk(b" "), 0.05) * 200  # ten seconds, and never silent


def second_ask(received: Received) -> tuple[Piece, ...]:
    return (STREAM, *DRIPS) if b'"stream": true' in received.body else (BAD,)


def give_up(upstream: Upstream, server: Server, *, stream: bool = False) -> str | None:
    provider = a_provider(endpoint=server.url, health=Health("pending" if stream else "healthy"))
    return Beat(upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=SECONDS).run(provider, slot=None).error


def at_work() -> list[str]:
    """The beat's thread, and the server's that talks: it ends when it sees that nobody is there any more."""
    return [thread.name for thread in threading.enumerate() if thread.name == "ping" or "_talk" in thread.name]


@pytest.mark.parametrize(
    ("script", "stream"),
    [
        (always(HEAD, *DRIPS), False),
        (always(STREAM, *DRIPS), True),
        (always(HEAD.replace(b"200 OK", b"500 No"), *DRIPS), False),
        (second_ask, False),
        (always(2 * SECONDS, HEAD, *DRIPS), False),
    ],
    ids=["a body", "a stream", "an error", "the second ask", "a head that comes after the giving up"],
)
def test_an_answer_without_end_is_hung_up(
    patient_upstream: Upstream, serve: Serve, script: Script, stream: bool
) -> None:
    error = give_up(patient_upstream, serve(script), stream=stream)

    assert error
    assert wait_until(lambda: not at_work(), 2), at_work()


def test_nothing_is_asked_for_a_beat_that_was_given_up(patient_upstream: Upstream, serve: Serve) -> None:
    def slow_key(provider: Provider) -> Target:
        time.sleep(2 * SECONDS)
        return target_for(provider)

    server = serve(always(BAD))
    provider = a_provider(endpoint=server.url, health=Health("healthy"))
    outcome = Beat(patient_upstream, slow_key, now=lambda: AT, logger=LOGGER, seconds=SECONDS).run(provider, slot=None)

    assert "KMS" in str(outcome.error)
    assert wait_until(lambda: not at_work(), 2), at_work()
    assert server.received == []
