"""A heartbeat on a kept connection that the provider had closed is repeated once, on a new connection."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.errors import ProviderDisconnected
from gateway.heartbeat.check import HeartbeatCheck
from gateway.heartbeat.health import STREAM_INTERVAL, Outcome, next_health
from gateway.registry.provider import Health
from tests.rehearsal import wait_until
from tests.scripted_server import Cut, Piece, Pieces, Request, ScriptedServer, always, answer, in_turn
from tests.unit.gateway.builders import AT, SettableClock, a_provider, after, completion
from tests.unit.gateway.conftest import MakeUpstream, Serve
from tests.unit.gateway.sending import assert_released, read, send
from tests.unit.gateway.ticking import LOGGER, good, target_for

GOOD = answer(body=completion())
BEATS_PER_HOUR = 120


def one_answer_per_connection(*later: Piece) -> Callable[[Request], Pieces]:
    """The script of a server that answers the first request of each connection only."""
    answered: set[int] = set()

    def script(request: Request) -> Pieces:
        if request.connection in answered:
            return later
        answered.add(request.connection)
        return good(request)

    return script


def beats(make_upstream: MakeUpstream, server: ScriptedServer, count: int) -> list[Outcome]:
    upstream = make_upstream()
    provider = a_provider(endpoint=server.url, health=Health("healthy"))
    check = HeartbeatCheck(upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=30)
    outcomes = [check.run(replace(provider), slot=None) for _ in range(count)]
    assert_released(upstream)
    return outcomes


@pytest.mark.parametrize("cut", [Cut.CLOSE, Cut.RESET])
def test_repeats_a_beat_on_a_dropped_connection_once(make_upstream: MakeUpstream, serve: Serve, cut: Cut) -> None:
    server = serve(one_answer_per_connection(cut))

    assert [outcome.error for outcome in beats(make_upstream, server, 3)] == [None] * 3
    # The second heartbeat was sent twice. Its second connection was not kept.
    assert (len(server.requests), server.connections) == (4, 3)


def test_does_not_repeat_on_a_new_connection(make_upstream: MakeUpstream, serve: Serve) -> None:
    server = serve(always(Cut.CLOSE))

    [outcome] = beats(make_upstream, server, 1)

    assert "closed the connection without an HTTP response" in (outcome.error or "")
    assert len(server.requests) == 1


def test_repeats_only_once(make_upstream: MakeUpstream, serve: Serve) -> None:
    server = serve(in_turn((GOOD,), (Cut.CLOSE,)))

    first, second = beats(make_upstream, server, 2)

    assert first.error is None
    assert "closed the connection without an HTTP response" in (second.error or "")
    assert len(server.requests) == 3


def test_does_not_repeat_a_beat_whose_response_began(make_upstream: MakeUpstream, serve: Serve) -> None:
    server = serve(one_answer_per_connection(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", Cut.CLOSE))

    _, second = beats(make_upstream, server, 2)

    assert "ended before it was complete" in (second.error or "")
    assert len(server.requests) == 2


def test_never_repeats_a_users_request(make_upstream: MakeUpstream, serve: Serve) -> None:
    server, upstream = serve(one_answer_per_connection(Cut.CLOSE)), make_upstream()
    read(send(upstream, server))

    with pytest.raises(ProviderDisconnected):
        send(upstream, server)

    assert len(server.requests) == 2


def wait_until_closed(server: ScriptedServer) -> object:
    return wait_until(lambda: not server.open_connections, every=0.001)


def close_after_each_answer(request: Request) -> Pieces:
    return (*good(request), Cut.CLOSE)


@pytest.mark.parametrize(
    ("script", "between_beats", "count"),
    [
        (close_after_each_answer, wait_until_closed, BEATS_PER_HOUR),
        # The 30 s between two heartbeats are longer than the 5 s after which the server closes an idle connection.
        (good, ScriptedServer.drop_connections, BEATS_PER_HOUR),
        # Fewer, because each repeat loads the CA certificates.
        (one_answer_per_connection(Cut.CLOSE), lambda _: None, 10),
    ],
    ids=["after each answer for an hour", "after 5 idle seconds for an hour", "when the next request arrives"],
)
def test_stays_healthy_if_the_provider_closes_connections(
    make_upstream: MakeUpstream,
    serve: Serve,
    script: Callable[[Request], Pieces],
    between_beats: Callable[[ScriptedServer], object],
    count: int,
) -> None:
    clock, server = SettableClock(), serve(script)
    upstream = make_upstream(wall_clock=clock)
    check = HeartbeatCheck(upstream, target_for, now=lambda: after(clock.now), logger=LOGGER, seconds=30)
    provider = a_provider(endpoint=server.url)

    for _ in range(count):
        outcome = check.run(provider, slot=None)
        assert outcome.error is None
        provider = replace(provider, health=next_health(provider.health, outcome))
        clock.now += 30
        between_beats(server)

    assert (provider.health.status, provider.health.status_changed_at) == ("healthy", after(1000))
    # Streams are among the heartbeats, and no connection served two of them.
    assert sum(b'"stream": true' in request.body for request in server.requests) >= max(1, count // STREAM_INTERVAL)
    assert server.connections >= count
