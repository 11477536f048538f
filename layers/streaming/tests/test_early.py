import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from lambda_streaming import early
from managed_runtime import Start

APP = """
from lambda_streaming import Response, StreamingResponse, connect_early, early, streaming

def unused():
    return b"open " if early._early.connection else b"none "

def stream(before, connected):
    # Runs when the response has its connection.
    yield before + connected + unused()

@streaming
def handler(event, context):
    before = unused()
    connect_early()
    match event["do"]:
        case "raise": raise KeyError("before the first byte")
        case "whole": return Response(404, {"x-a": "b"}, b"nothing here")
        case _: return StreamingResponse(200, {}, stream(before, unused()))
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server
        early.discard()


def connect(listener: socket.socket) -> tuple[str, socket.socket]:
    """Connects early. Returns the address and the server's side of the connection."""
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    early.connect(address)
    return address, listener.accept()[0]


def test_the_response_uses_the_connection_once(listener: socket.socket) -> None:
    address, accepted = connect(listener)

    connection = early.take(address)

    assert connection is not None
    assert connection.getsockname() == accepted.getpeername()
    assert early.take(address) is None
    connection.close()
    accepted.close()


def test_does_not_use_a_connection_that_the_runtime_api_has_closed(listener: socket.socket) -> None:
    address, accepted = connect(listener)
    accepted.close()

    assert early.take(address) is None


def test_does_not_use_the_connection_to_another_address(listener: socket.socket) -> None:
    _, accepted = connect(listener)

    assert early.take("127.0.0.1:1") is None
    assert accepted.recv(1) == b""
    accepted.close()


def test_another_thread_does_not_use_the_connection(listener: socket.socket) -> None:
    address, accepted = connect(listener)
    taken: list[socket.socket | None] = []
    thread = threading.Thread(target=lambda: taken.append(early.take(address)))
    thread.start()
    thread.join()

    assert taken == [None]
    accepted.close()


@pytest.mark.parametrize("disturb", [early.discard, lambda: early.connect("127.0.0.1:1")], ids=["discard", "connect"])
def test_closes_an_unused_connection(listener: socket.socket, disturb: Callable[[], None]) -> None:
    address, accepted = connect(listener)

    disturb()

    assert accepted.recv(1) == b""
    assert early.take(address) is None
    accepted.close()


def test_a_response_uses_the_early_connection_and_a_failed_invocation_closes_it(start_runtime: Start) -> None:
    runtime = start_runtime(APP)
    answers = [runtime.api.invoke(do=do) for do in ("stream", "whole", "raise", "stream")]

    bodies = [post.body.strip() for post in (answers[0], answers[1], answers[3])]
    assert bodies == [b"none open none", b"nothing here", b"none open none"]
    assert answers[2].head.splitlines()[0].endswith("/error HTTP/1.1")


def test_other_modes_ignore_the_call(start_runtime: Start) -> None:
    post = start_runtime(APP, STREAM_MODE="framed").api.invoke(do="whole")

    assert "chunked" not in post.head
    assert post.body == b"nothing here"
