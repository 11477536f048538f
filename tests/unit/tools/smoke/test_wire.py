"""The reader of the smoke test, against bytes as a gateway might send them."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tools.smoke.wire import Gateway

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Serve = Callable[..., Gateway]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server that answers its one request with these bytes, and waits where a number of seconds stands."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(*pieces: bytes | float) -> Gateway:
        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                for piece in pieces:
                    if isinstance(piece, bytes):
                        connection.sendall(piece)
                    else:
                        time.sleep(piece)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return Gateway(f"http://127.0.0.1:{listening.getsockname()[1]}/prod", "token")

    yield start
    for thread in threads:
        thread.join(5)
    listening.close()


def test_each_chunk_has_the_time_at_which_it_came(serve: Serve) -> None:
    reply = serve(HEAD, b"3\r\none\r\n", 0.3, b"3\r\ntwo\r\n0\r\n\r\n").ask("GET", "/")

    assert reply.body == b"onetwo"
    assert reply.clean
    first, second = (at for at, _ in reply.chunks)
    assert second - first > 0.2


def test_what_follows_the_last_chunk_is_seen(serve: Serve) -> None:
    reply = serve(HEAD, b"0\r\nLambda-Runtime-Function-Error-Type: Function.X\r\n\r\n").ask("GET", "/")

    assert reply.trailers == ["Lambda-Runtime-Function-Error-Type: Function.X"]
    assert reply.clean


@pytest.mark.parametrize("cut", [b"5\r\nab", b"2\r\nab\r\n", b"2\r\nab\r\n0\r\n"])
def test_a_body_that_breaks_off_is_not_clean(serve: Serve, cut: bytes) -> None:
    reply = serve(HEAD, cut).ask("GET", "/")

    assert reply.body == b"ab"
    assert not reply.clean


def test_a_body_of_a_given_length_is_clean_when_it_is_whole(serve: Serve) -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n"

    assert serve(head, b"{}").ask("GET", "/").clean


def test_a_shorter_one_is_not(serve: Serve) -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n"

    assert not serve(head, b"{}").ask("GET", "/").clean


def test_an_error_has_a_code_only_in_the_one_shape(serve: Serve) -> None:
    body = b'{"error": {"message": "m", "type": "t", "code": "c", "param": null}}'
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n"

    assert serve(head % len(body), body).ask("GET", "/").code == "c"


def test_another_error_has_none(serve: Serve) -> None:
    body = b'{"message": "Forbidden"}'

    assert serve(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 24\r\n\r\n", body).ask("GET", "/").code is None


def test_no_answer_at_all_is_a_connection_error(serve: Serve) -> None:
    with pytest.raises(ConnectionError, match="closed without an answer"):
        serve().ask("GET", "/")
