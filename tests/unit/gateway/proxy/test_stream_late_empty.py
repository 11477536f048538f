from collections.abc import Generator

from gateway.proxy.exchange import Exchange
from gateway.proxy.request import ForwardRequest
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.stream import relay_late
from gateway.proxy.upstream import Target, UpstreamResponse


def silent() -> Generator[bytes]:
    yield KEEP_ALIVE


def empty() -> Generator[bytes]:
    yield from ()


def test_names_the_status_of_a_late_error_without_a_body() -> None:
    response = UpstreamResponse(500, {}, empty(), 0.0, lambda: None)
    exchange = Exchange(lambda: (Target("a", "https://a.example/v1"), response))
    list(exchange.chunks())
    request = ForwardRequest("POST", "/chat/completions", "id-1", stream=True)

    body = b"".join(relay_late(exchange, silent(), RequestLog(request)))

    assert b"HTTP 500. TokenHub failed" in body
    assert body.count(KEEP_ALIVE) == 2
