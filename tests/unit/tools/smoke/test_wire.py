"""The smoke test's HTTP client, against scripted bytes."""

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
    """Starts a server for one request. It sends the bytes, and pauses for each number of seconds."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(*steps: bytes | float) -> Gateway:
        def respond() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for step in steps:
                    if isinstance(step, bytes):
                        connection.sendall(step)
                    else:
                        time.sleep(step)

        threads.append(threading.Thread(target=respond))
        threads[-1].start()
        return Gateway(f"http://127.0.0.1:{listener.getsockname()[1]}/prod", "token")

    yield start
    for thread in threads:
        thread.join(30)
    listener.close()


def test_records_the_arrival_time_of_each_chunk(serve: Serve) -> None:
    def seconds_between() -> float:
        response = serve(HEAD, b"3\r\none\r\n", 0.3, b"3\r\ntwo\r\n0\r\n\r\n").request("GET", "/")
        assert response.body == b"onetwo"
        assert response.complete
        return response.chunks[-1][0] - response.chunks[0][0]

    # A busy machine may read both chunks at once, but not three times.
    assert any(seconds_between() > 0.2 for _ in range(3))


def test_reads_trailers(serve: Serve) -> None:
    response = serve(HEAD, b"0\r\nLambda-Runtime-Function-Error-Type: Function.X\r\n\r\n").request("GET", "/")

    assert response.trailers == ["Lambda-Runtime-Function-Error-Type: Function.X"]
    assert response.complete


@pytest.mark.parametrize("cut", [b"5\r\nab", b"2\r\nab\r\n", b"2\r\nab\r\n0\r\n"])
def test_detects_a_truncated_chunked_body(serve: Serve, cut: bytes) -> None:
    response = serve(HEAD, cut).request("GET", "/")

    assert response.body == b"ab"
    assert not response.complete


def test_complete_body_with_content_length_is_complete(serve: Serve) -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n"

    assert serve(head, b"{}").request("GET", "/").complete


def test_detects_a_body_shorter_than_content_length(serve: Serve) -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n"

    assert not serve(head, b"{}").request("GET", "/").complete


def test_reads_the_code_of_an_error_in_the_standard_format(serve: Serve) -> None:
    body = b'{"error": {"message": "m", "type": "t", "code": "c", "param": null}}'
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n"

    assert serve(head % len(body), body).request("GET", "/").error_code == "c"


def test_other_errors_have_no_code(serve: Serve) -> None:
    body = b'{"message": "Forbidden"}'

    assert serve(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 24\r\n\r\n", body).request("GET", "/").error_code is None


def test_missing_response_raises_connection_error(serve: Serve) -> None:
    with pytest.raises(ConnectionError, match="closed without a response"):
        serve().request("GET", "/")
