import gzip
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.unit.tools.local.running_server import ERROR_MESSAGE, RunningServer, make_function, serving

TOKEN = {"Authorization": "Bearer admin"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    # The runtime does not exist, because these requests end before any worker starts.
    function = make_function(tmp_path_factory.mktemp("function"))
    with serving(function, admin_token="the-admin-token", command=["/nonexistent"]) as running:
        yield running


@pytest.fixture
def server(running: RunningServer) -> RunningServer:
    running.api_gateway.reset()
    running.authorizer.calls.clear()
    return running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_forwards_a_buffered_request_unchanged(client: httpx.Client, server: RunningServer) -> None:
    client.post("/api/v1/providers?a=1&a=%20b&c", content=b"\x00body", headers=TOKEN | {"X-Own": "x"})

    [(path, headers, body)] = server.api_gateway.requests
    assert path == "/_aws/execute-api/abc123/prod/api/v1/providers?a=1&a=%20b&c"
    assert body == b"\x00body"
    assert headers["X-Own"] == "x"
    assert headers["Authorization"] == "Bearer admin"
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["User-Agent"].startswith("python-httpx")


def test_forwards_a_percent_encoded_path_unchanged(client: httpx.Client, server: RunningServer) -> None:
    client.get("/api/v1/providers/a%20b", headers=TOKEN)

    assert server.api_gateway.requests[0][0].endswith("/prod/api/v1/providers/a%20b")


def test_returns_the_functions_status_headers_and_body(client: httpx.Client, server: RunningServer) -> None:
    headers = {"Content-Type": "application/json", "ETag": '"1"', "Server": "x", "x-amz-request-id": "x"}
    server.api_gateway.status, server.api_gateway.headers, server.api_gateway.body = 201, headers, b'{"id": 1}'

    response = client.post("/api/v1/providers", headers=TOKEN)

    assert (response.status_code, response.content) == (201, b'{"id": 1}')
    assert response.headers["etag"] == '"1"'
    assert len(response.headers["x-amzn-RequestId"]) == 36
    assert not {"server", "x-amz-request-id", "access-control-allow-origin"} & set(response.headers)


def test_forwards_compressed_bodies_unchanged(client: httpx.Client, server: RunningServer) -> None:
    compressed = gzip.compress(b"x" * 100)
    server.api_gateway.headers, server.api_gateway.body = {"Content-Encoding": "gzip"}, compressed

    response = client.post("/api/v1/providers", content=compressed, headers=TOKEN | {"Content-Encoding": "gzip"})

    assert server.api_gateway.requests[0][2] == compressed
    assert response.content == b"x" * 100


def test_never_sends_a_functions_exception_to_the_client(client: httpx.Client, server: RunningServer) -> None:
    server.api_gateway.status, server.api_gateway.body = 502, b'{"message": "{\\"errorMessage\\": \\"a secret\\"}"}'

    response = client.get("/health")

    assert response.status_code == 502
    assert response.json()["error"]["message"] == ERROR_MESSAGE
    assert "secret" not in response.text


def test_returns_a_502_that_the_function_sent_itself(client: httpx.Client, server: RunningServer) -> None:
    server.api_gateway.status, server.api_gateway.body = 502, b'{"error": {"code": "provider_unreachable"}}'

    assert code(client.get("/health")) == (502, "provider_unreachable")


def test_rejects_a_buffered_response_over_6_mb(client: httpx.Client, server: RunningServer) -> None:
    server.api_gateway.body = b"x" * (6 * 1024 * 1024 + 1)

    assert code(client.get("/health")) == (502, "gateway_error")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("PUT", "/health"), ("HEAD", "/api/v1/providers/a"), ("OPTIONS", "/health"), ("GET", "/v1/models")],
)
def test_returns_404_for_unknown_methods_and_paths(
    client: httpx.Client, server: RunningServer, method: str, path: str
) -> None:
    response = client.request(method, path, headers=TOKEN)

    assert response.status_code == 404
    if method != "HEAD":
        assert code(response) == (404, "not_found")
    assert server.api_gateway.requests == []


@pytest.mark.parametrize("path", ["/api/v1/providers", "/v1/chat/completions"])
def test_rejects_a_missing_token_without_calling_anything(
    client: httpx.Client, server: RunningServer, path: str
) -> None:
    response = client.post(path, headers={"x-api-key": "admin"})

    assert code(response) == (401, "unauthorized")
    assert response.headers["x-amzn-ErrorType"] == "UnauthorizedException"
    assert (server.api_gateway.requests, server.authorizer.calls) == ([], [])


def test_streaming_route_calls_the_authorizer_with_the_method_arn(client: httpx.Client, server: RunningServer) -> None:
    client.post("/v1/chat/completions", headers={"Authorization": "Bearer nobody"})

    assert server.authorizer.calls == [
        {
            "function": "arn:aws:lambda:eu-west-1:123456789012:function:authorizer:live",
            "type": "TOKEN",
            "authorizationToken": "Bearer nobody",
            "methodArn": "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/POST/v1/chat/completions",
        }
    ]


def test_anthropic_route_calls_the_authorizer_with_the_request_and_no_body(
    client: httpx.Client, server: RunningServer
) -> None:
    response = client.post("/anthropic/v1/messages", headers={"x-api-key": "nobody"}, content=b"a prompt")

    [call] = server.authorizer.calls
    assert (call["type"], call["headers"]["x-api-key"]) == ("REQUEST", "nobody")
    assert call["methodArn"].endswith("/prod/POST/anthropic/v1/messages")
    # As API Gateway does, also on a method that needs no API key.
    assert call["requestContext"]["identity"]["apiKey"] == "nobody"
    assert "authorizer" not in call["requestContext"]
    assert "a prompt" not in str(call)
    assert code(response) == (401, "unauthorized")


def test_anthropic_route_ignores_a_bearer_token(client: httpx.Client, server: RunningServer) -> None:
    response = client.post("/anthropic/v1/messages", headers=TOKEN)

    assert code(response) == (401, "unauthorized")
    assert server.authorizer.calls == []


def test_anonymous_anthropic_request_gets_the_admin_token_as_x_api_key(
    client: httpx.Client, server: RunningServer
) -> None:
    client.post("/anthropic/v1/messages")

    assert [call["headers"]["x-api-key"] for call in server.authorizer.calls] == ["the-admin-token"]


@pytest.mark.parametrize(
    ("token", "expected"),
    [("nobody", (401, "unauthorized")), ("broken", (500, "authorizer_failed"))],
)
def test_rejected_token_gets_the_templates_response(
    client: httpx.Client, token: str, expected: tuple[int, str]
) -> None:
    response = client.post("/v1/chat/completions", headers={"Authorization": f"Bearer {token}"})

    assert code(response) == expected
    assert "secret" not in response.text


LARGE = 10 * 1024 * 1024 + 1


@pytest.mark.parametrize("path", ["/api/v1/providers", "/v1/chat/completions"])
@pytest.mark.parametrize("chunked", [True, False])
def test_rejects_a_body_over_10_mb_before_calling_any_function(
    client: httpx.Client, server: RunningServer, path: str, chunked: bool
) -> None:
    content: Any = (b"x" * 65536 for _ in range(LARGE // 65536 + 1)) if chunked else b"x" * LARGE

    assert code(client.post(path, content=content, headers=TOKEN)) == (413, "request_too_large")
    assert (server.api_gateway.requests, server.authorizer.calls) == ([], [])


@pytest.mark.parametrize("path", ["/api/v1/providers", "/v1/chat/completions"])
def test_rejects_an_event_over_6_mb(client: httpx.Client, server: RunningServer, path: str) -> None:
    assert code(client.post(path, content=b"x" * (6 * 1024 * 1024), headers=TOKEN)) == (502, "gateway_error")
    assert server.api_gateway.requests == []


def test_accepts_a_body_just_under_the_event_limit(client: httpx.Client, server: RunningServer) -> None:
    assert client.post("/api/v1/providers", content=b"x" * (6 * 1024 * 1024 - 4096), headers=TOKEN).status_code == 200


def test_own_failures_have_the_same_error_shape(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    assert code(client.post("/v1/chat/completions", headers=TOKEN)) == (500, "gateway_error")
    assert "The local API server failed" in caplog.text


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "Bearer the-admin-token"),
        ({"Host": "[::1]:1"}, "Bearer the-admin-token"),
        ({"Sec-Fetch-Site": "same-origin"}, "Bearer the-admin-token"),
        ({"Authorization": "Bearer wrong"}, "Bearer wrong"),
        ({"Sec-Fetch-Site": "cross-site"}, None),
        ({"Origin": "http://localhost:3000"}, None),
        ({"x-api-key": "x"}, None),
        ({"api-key": "x"}, None),
        ({"X-Goog-Api-Key": "x"}, None),
    ],
)
def test_adds_the_admin_token_to_anonymous_local_requests_only(
    client: httpx.Client, server: RunningServer, headers: dict[str, str], expected: str | None
) -> None:
    response = client.post("/api/v1/providers", headers=headers)

    assert [request[1]["Authorization"] for request in server.api_gateway.requests] == ([expected] if expected else [])
    assert response.status_code == (200 if expected else 401)


def test_rejects_anonymous_requests_without_an_admin_token() -> None:
    with serving() as server:
        assert code(httpx.post(f"{server.url}/api/v1/providers")) == (401, "unauthorized")


@pytest.mark.parametrize("headers", [{}, TOKEN])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8080", "10.0.0.1"])
def test_rejects_foreign_hosts_with_and_without_a_token(
    client: httpx.Client, server: RunningServer, host: str, headers: dict[str, str]
) -> None:
    response = client.post("/api/v1/providers", headers=headers | {"Host": host})

    assert code(response) == (403, "forbidden_host")
    assert response.headers["X-Request-Id"]
    assert response.headers["X-Should-Retry"] == "false"
    assert response.json()["type"] == "error"
    assert set(response.json()["error"]) == {"message", "type", "code", "param"}
    assert server.api_gateway.requests == []


def test_accepts_header_bytes_that_are_not_utf_8(server: RunningServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: \xff\r\nConnection: close\r\n\r\n")
        response = b"".join(iter(lambda: connection.recv(65536), b""))

    assert response.startswith(b"HTTP/1.1 200 ")


def test_unreachable_api_gateway_has_the_same_error_shape() -> None:
    with serving(aws_url="http://127.0.0.1:1") as server:
        assert code(httpx.get(f"{server.url}/health")) == (500, "gateway_error")
