"""Requests that are not valid HTTP get an error in the common shape. Neither it nor the log quotes them."""

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.malformed_http import malformed_requests
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
MALFORMED = malformed_requests(SECRET)


@dataclass(frozen=True)
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def exchange(server: RunningServer, sent: bytes) -> Response:
    """Sends bytes and returns the response. The server must close the connection after it."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = response.read()
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536) == b""
    return Response(response.status, response.headers, body)


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_request_has_the_error_shape_and_is_never_quoted(
    server: RunningServer, sent: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")

    response = exchange(server, sent)

    error = json.loads(response.body)["error"]
    assert (response.status, error["code"]) == (400, "bad_request")
    output = capfd.readouterr()
    for text in (caplog.text, output.out, output.err, response.body.decode(), str(response.headers)):
        assert SECRET.decode() not in text
    assert server.api_gateway.requests == []


@pytest.mark.parametrize(
    "start_line", ["OPTIONS * HTTP/1.1", "GET http://localhost/health HTTP/1.1", "GET //health HTTP/1.1"]
)
def test_unusual_targets_have_the_error_shape(server: RunningServer, start_line: str) -> None:
    response = exchange(server, f"{start_line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    body = json.loads(response.body)
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
