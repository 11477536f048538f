"""The scripted server follows HTTP where its script does."""

import socket
from collections.abc import Callable
from contextlib import closing
from threading import Event

import httpx
import pytest

from tests.rehearsal import wait_until
from tests.scripted_server import END, HANG, STREAM, Framing, ScriptedServer, always, response


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_pause_after_the_body_keeps_the_connection(framing: Framing) -> None:
    script = always(*response((b"data: [DONE]\n\n", 0.2), framing=framing))

    with ScriptedServer(script) as server, httpx.Client() as client:
        answers = [client.post(server.url).status_code for _ in range(3)]

        assert answers == [200, 200, 200]
        assert server.connections == 1
        assert [request.left_at for request in server.requests] == [None] * 3


def test_calls_functions_between_the_pieces() -> None:
    received, ended = Event(), Event()
    script = always(*response((b"one",))[:-1], received.wait, END, ended.set)

    with ScriptedServer(script) as server, httpx.Client() as client:
        with client.stream("POST", server.url) as answer:
            chunks = answer.iter_raw()
            assert next(chunks) == b"one"
            assert not ended.is_set()
            received.set()
            assert list(chunks) == []

        assert ended.wait(30)


def connect(server: ScriptedServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_records_when_a_client_leaves_a_silent_response() -> None:
    with ScriptedServer(always(STREAM, HANG)) as server:
        with closing(connect(server)) as client:
            client.sendall(b"GET /v1 HTTP/1.1\r\n\r\n")
            assert client.recv(len(STREAM)) == STREAM
            assert server.requests[0].left_at is None

        assert wait_until(lambda: server.requests[0].left_at, 10)
        assert wait_until(lambda: server.open_connections == 0, 10)


@pytest.mark.parametrize("end", [ScriptedServer.close, ScriptedServer.drop_connections])
def test_closes_the_connection_of_a_silent_response(end: Callable[[ScriptedServer], None]) -> None:
    with ScriptedServer(always(STREAM, HANG)) as server, closing(connect(server)) as client:
        client.sendall(b"GET /v1 HTTP/1.1\r\n\r\n")
        assert client.recv(len(STREAM)) == STREAM

        end(server)

        assert client.recv(1) == b""


def test_records_bytes_that_are_not_http() -> None:
    with ScriptedServer(always(HANG)) as server, closing(connect(server)) as client:
        client.sendall(b"\x16\x03\x01")

        assert client.recv(12) == b"HTTP/1.1 400"
        assert (server.noise, server.requests) == (b"\x16\x03\x01", [])
