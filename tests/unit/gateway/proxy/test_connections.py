"""test_upstream_connections.py has the behaviour that an upstream needs. These tests have the limits."""

from collections.abc import Iterator
from typing import Any, cast

import httpcore
import pytest

from gateway.core.tls import tls_context
from gateway.proxy.connections import Connections
from tests.scripted_server import ScriptedServer, always, answer


@pytest.fixture
def connections() -> Iterator[Connections]:
    """Keeps one idle connection."""
    kept = Connections(tls_context(), httpcore.SyncBackend(), retries=0, keepalive_expiry=60, max_idle=1)
    yield kept
    kept.close()


def send(connections: Connections, server: ScriptedServer) -> httpcore.Response:
    return connections.handle_request(httpcore.Request("GET", server.url, headers={"Host": "test"}))


def close(response: httpcore.Response) -> None:
    cast("Any", response.stream).close()


def test_closes_the_connection_that_was_idle_longest(connections: Connections) -> None:
    with ScriptedServer(always(answer())) as server:
        first = send(connections, server)
        [oldest] = connections.connections
        for response in (first, send(connections, server)):
            response.read()
            close(response)

    assert server.connections == 2
    assert oldest.is_closed()
    assert len(connections.connections) == 1


def test_closes_a_connection_whose_response_was_not_read(connections: Connections) -> None:
    with ScriptedServer(always(answer(body=b"unread"))) as server:
        response = send(connections, server)
        assert len(connections.connections) == 1
        close(response)

    assert connections.connections == []


def test_keeps_each_connection_for_its_own_origin(connections: Connections) -> None:
    with ScriptedServer(always(answer())) as one, ScriptedServer(always(answer())) as other:
        for server in (one, other, other):
            response = send(connections, server)
            response.read()
            close(response)

    assert (one.connections, other.connections) == (1, 1)


def test_close_also_ends_a_connection_in_use(connections: Connections) -> None:
    with ScriptedServer(always(answer(body=b"body"))) as server:
        response = send(connections, server)
        [used] = connections.connections
        connections.close()
        close(response)

    assert used.is_closed()
    assert connections.connections == []
