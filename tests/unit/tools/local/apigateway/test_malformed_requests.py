"""Requests that are not valid HTTP get an error in the common shape. Neither it nor the log quotes them."""

import http.client
import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.unit.tools.local.running_server import RunningServer, serving

TOKEN = {"Authorization": "Bearer admin"}


@pytest.fixture(scope="module")
def running() -> Iterator[RunningServer]:
    with serving(admin_token="the-admin-token") as running:
        yield running


@pytest.fixture
def server(running: RunningServer) -> RunningServer:
    running.api_gateway.reset()
    return running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


SECRET = b"tokenhub_secret-of-the-client"
MALFORMED = {
    "a start line of one word": SECRET + b"\r\n\r\n",
    "an unknown version": b"GET /health?key=" + SECRET + b" HTTP/7\r\n\r\n",
    "a method with spaces": SECRET + b" \xff /health HTTP/1.1\r\n\r\n",
    "a line without a colon": b"GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization " + SECRET + b"\r\n\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost: localhost\r\nA : " + SECRET + b"\r\n\r\n",
    "a control character": b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: \x00" + SECRET + b"\r\n\r\n",
    "a header of 9 KB": b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: " + SECRET * 320 + b"\r\n\r\n",
    "a bad content length": b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + SECRET + b"\r\n\r\n",
    "two lengths": b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\n" + SECRET,
    "a length and chunks": b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + SECRET,
    "an unknown coding": b"POST /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: " + SECRET + b"\r\n\r\n",
    "a bad chunk size": b"POST /api/v1/providers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + SECRET + b"\r\n",
    "a chunk without its end": b"POST /api/v1/providers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n3\r\n" + SECRET + b"\r\n",
}  # fmt: skip


def exchange(server: RunningServer, sent: bytes) -> http.client.HTTPResponse:
    """Sends bytes and returns the response, whose body is read. The server must close the connection after it."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.body = response.read()  # type: ignore[attr-defined]
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536) == b""
    return response


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_request_has_the_error_shape_and_is_never_quoted(
    server: RunningServer, sent: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")

    response = exchange(server, sent)

    body = response.body  # type: ignore[attr-defined]
    error = json.loads(body)["error"]
    assert (response.status, error["code"]) == (400, "bad_request")
    output = capfd.readouterr()
    for text in (caplog.text, output.out, output.err, body.decode(), str(response.headers)):
        assert SECRET.decode() not in text
    assert server.api_gateway.requests == []


@pytest.mark.parametrize(
    "start_line", ["OPTIONS * HTTP/1.1", "GET http://localhost/health HTTP/1.1", "GET //health HTTP/1.1"]
)
def test_unusual_targets_have_the_error_shape(server: RunningServer, start_line: str) -> None:
    response = exchange(server, f"{start_line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    body = json.loads(response.body)  # type: ignore[attr-defined]
    assert response.status == 200 if "http:" in start_line else body["error"]["code"] == "not_found"


def test_ignores_an_unknown_expectation(client: httpx.Client, server: RunningServer) -> None:
    assert client.post("/api/v1/providers", headers=TOKEN | {"Expect": "a-secret"}).status_code == 200


@pytest.mark.parametrize("values", [("none", "cross-site"), ("cross-site", "none"), ("none", "none")])
def test_repeated_fetch_site_gets_no_admin_token(server: RunningServer, values: tuple[str, str]) -> None:
    headers = "".join(f"Sec-Fetch-Site: {value}\r\n" for value in values)

    response = exchange(
        server, f"POST /api/v1/providers HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n".encode()
    )

    assert response.status == 401
    assert server.api_gateway.requests == []
