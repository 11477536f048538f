import gzip
from threading import Event

import pytest

from gateway.proxy.request import ForwardRequest, read_request
from gateway.proxy.upstream import Upstream, UpstreamResponse
from tests.scripted_server import DONE, END, STREAM, always, answer, chunk
from tests.unit.gateway.builders import KEY, a_request
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.sending import STREAMED, read, send

OK = answer(body=b"{}")


def test_sends_the_requests_headers_ours_and_the_stored_key(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(OK))
    caller = {
        "Content-Type": "application/json",
        "User-Agent": "sdk/1",
        "anthropic-version": "2023-06-01",
        "Authorization": "Bearer client-token",
        "x-api-key": "client-token",
        "Cookie": "session=1",
        "X-Forwarded-For": "192.0.2.9",
        "Accept-Encoding": "gzip, br",
    }
    request = read_request(a_request(headers=caller, source_ip="192.0.2.1"))
    read(send(upstream, server, request, key=KEY))
    (received,) = server.requests
    assert received.target == "/v1/chat/completions"
    assert received.headers == {
        "host": server.url.removeprefix("http://").removesuffix("/v1"),
        "content-type": "application/json",
        "user-agent": "sdk/1",
        "anthropic-version": "2023-06-01",
        "authorization": f"Bearer {KEY}",
        "x-request-id": "request-1",
        "x-real-ip": "192.0.2.1",
        "accept-encoding": "identity",
        "content-length": "16",
    } | {name: received.headers[name] for name in ("connection", "accept") if name in received.headers}
    assert "client-token" not in repr(received)


def test_sends_no_authorization_without_a_key(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(OK))
    request = read_request(a_request(headers={"Authorization": "Bearer client-token", "X-Api-Key": "client-token"}))
    read(send(upstream, server, request))
    assert not {"authorization", "x-api-key", "x-real-ip"} & server.requests[0].headers.keys()


@pytest.mark.parametrize("query", ["", "a=b%2Fc+d&a=%C3%A9&empty=&flag", "q=%22x%22&r=a%20b"])
def test_sends_the_query_unchanged(serve: Serve, upstream: Upstream, query: str) -> None:
    server = serve(always(OK))
    read(send(upstream, server, a_request(query=query)))
    assert server.requests[0].target == "/v1/chat/completions" + (f"?{query}" if query else "")


@pytest.mark.parametrize("body", [b"", b'{"a": "\xc3\xa9\\ud83d", "a":1.0} ', b"x" * 300_000])
def test_sends_the_body_unchanged(serve: Serve, upstream: Upstream, body: bytes) -> None:
    server = serve(always(OK))
    read(send(upstream, server, a_request(body=body)))
    assert server.requests[0].body == body


def test_sends_a_get_without_a_body(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(OK))
    read(send(upstream, server, ForwardRequest("GET", "/models", "request-1")))
    assert server.requests[0].target == "/v1/models"
    assert not {"content-length", "transfer-encoding", "content-type"} & server.requests[0].headers.keys()


def test_never_sends_cookies(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(answer(body=b"{}", set_cookie="session=of-someone-else; Path=/")))
    for _ in range(2):
        read(send(upstream, server))
    assert ["cookie" in received.headers for received in server.requests] == [False, False]


def test_ignores_proxy_variables(serve: Serve, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert send(upstream, serve(always(OK))).status == 200


@pytest.mark.parametrize("agent", ["é", "日本", " padded ", "\x01", "a\r\nX-Evil: 1"])
def test_drops_headers_that_cannot_be_sent(serve: Serve, upstream: Upstream, agent: str) -> None:
    server = serve(always(OK))
    request = read_request(a_request(headers={"User-Agent": agent, "Accept": "*/*"}))
    assert send(upstream, server, request).status == 200
    assert "x-evil" not in server.requests[0].headers


def test_returns_only_the_allowed_headers(serve: Serve, upstream: Upstream) -> None:
    forwarded = {
        "content-type": "application/json",
        "cache-control": "no-cache",
        "retry-after": "7",
        "x-negotiated-model": "echo",
        "x-alias-from": "*",
        "idempotency-replay": "true",
        "x-should-retry": "false",
    }
    dropped = {"server": "x", "set-cookie": "a=b", "x-provider-authorization": KEY, "x-request-id": "x", "via": "x"}
    headers = {name.replace("-", "_"): value for name, value in (forwarded | dropped).items() if name != "content-type"}
    server = serve(always(answer(200, b"{}", "application/json", **headers)))
    assert send(upstream, server).headers == forwarded


def test_keeps_model_names_that_look_like_keys(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(answer(200, b"{}", x_negotiated_model="tokenhub_auto", x_alias_from=f"a {KEY}")))
    headers = send(upstream, server, key=KEY).headers
    assert (headers["x-negotiated-model"], headers["x-alias-from"]) == ("tokenhub_auto", "a [redacted]")


@pytest.mark.parametrize("status", [200, 201, 204, 400, 401, 404, 429, 500, 503])
def test_returns_a_response_of_any_status(serve: Serve, upstream: Upstream, status: int) -> None:
    body = b"" if status == 204 else b"words"
    response = send(upstream, serve(always(answer(status, body))))
    assert (response.status, read(response)) == (status, body)


@pytest.mark.parametrize(
    ("content_type", "is_stream"),
    [
        ("text/event-stream", True),
        ("text/event-stream; charset=utf-8", True),
        ("Text/Event-Stream;x", True),
        ("application/json", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_recognizes_a_stream_by_its_content_type(content_type: str, is_stream: bool) -> None:
    assert (
        UpstreamResponse(200, {"content-type": content_type}, (_ for _ in ()), 7.4, lambda: None).is_stream is is_stream
    )
    assert not UpstreamResponse(200, {}, (_ for _ in ()), 7.4, lambda: None).is_stream


def test_returns_a_compressed_body_decompressed(serve: Serve, upstream: Upstream) -> None:
    zipped = gzip.compress(b'{"id": 1}')
    server = serve(always(answer(body=zipped, content_encoding="gzip")))
    assert read(send(upstream, server)) == b'{"id": 1}'


def test_returns_each_chunk_as_it_arrives(serve: Serve, upstream: Upstream) -> None:
    parts = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]
    arrived = [Event() for _ in parts]
    pieces = [piece for part, event in zip(parts, arrived, strict=True) for piece in (chunk(part), event.wait)]
    response = send(upstream, serve(always(STREAM, *pieces, END)), STREAMED)
    for part, event in zip(parts, arrived, strict=True):
        assert next(response.chunks) == part
        event.set()
    assert list(response.chunks) == []


def test_returns_the_head_before_the_body(serve: Serve, upstream: Upstream) -> None:
    returned = Event()
    response = send(upstream, serve(always(STREAM, returned.wait, chunk(DONE), END)), STREAMED)
    returned.set()
    assert read(response) == DONE
