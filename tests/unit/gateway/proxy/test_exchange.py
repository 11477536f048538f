import threading
import time
from collections.abc import Generator

import pytest

from gateway.core.errors import ProviderUnreachable, StreamTruncated
from gateway.proxy.exchange import Exchange
from gateway.proxy.settings import Limits
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.upstream import Target, UpstreamResponse
from tests.scripted_server import HANG, STREAM, always, chunk
from tests.unit.gateway.builders import ENDPOINT
from tests.unit.gateway.conftest import MakeUpstream, Serve
from tests.unit.gateway.sending import STREAMED, assert_released, send

TARGET = Target("main", ENDPOINT)


def answering(*pieces: bytes, content_type: str = "text/event-stream") -> Exchange:
    def body() -> Generator[bytes]:
        yield from pieces

    return Exchange(lambda: (TARGET, UpstreamResponse(200, {"content-type": content_type}, body(), 1.0, lambda: None)))


def failing() -> tuple[Target, UpstreamResponse]:
    raise ProviderUnreachable("not there")


def test_sends_nothing_before_the_body_is_read() -> None:
    exchange = Exchange(failing)
    exchange.chunks()
    assert not exchange.wait_for_head(0)
    assert exchange.response() is None


def test_knows_the_head_once_the_body_starts() -> None:
    exchange = answering(b"a", b"b")
    source = exchange.chunks()
    assert next(source) == b"a"
    assert exchange.wait_for_head(0)
    assert exchange.head.result()[0] == TARGET
    assert list(source) == [b"b"]


def test_raises_a_send_error_from_head_and_body() -> None:
    exchange = Exchange(failing)
    with pytest.raises(ProviderUnreachable):
        next(exchange.chunks())
    assert exchange.wait_for_head(0)
    assert isinstance(exchange.head.exception(), ProviderUnreachable)
    assert (exchange.response(), exchange.keep_alive()) == (None, KEEP_ALIVE)


def test_waits_for_the_head_only_until_the_timeout() -> None:
    free = threading.Event()

    def late() -> tuple[Target, UpstreamResponse]:
        free.wait(30)
        return failing()

    exchange = Exchange(late)

    def read() -> None:
        with pytest.raises(ProviderUnreachable):
            next(exchange.chunks())

    reader = threading.Thread(target=read)
    reader.start()
    began = time.monotonic()
    assert not exchange.wait_for_head(0.05)
    assert time.monotonic() - began < 10
    free.set()
    assert exchange.wait_for_head(None)
    reader.join(30)


@pytest.mark.parametrize(("content_type", "expected"), [("text/event-stream", KEEP_ALIVE), ("application/json", None)])
def test_sends_keep_alives_only_into_streams(content_type: str, expected: bytes | None) -> None:
    exchange = answering(b"a", content_type=content_type)
    assert exchange.keep_alive() == KEEP_ALIVE
    next(exchange.chunks())
    assert exchange.keep_alive() == expected


def test_abort_wakes_the_reader_and_releases_the_connection(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream, server = make_upstream(Limits()), serve(always(STREAM, chunk(b"data: 1\n\n"), HANG))
    exchange = Exchange(lambda: (TARGET, send(upstream, server, STREAMED, within=60)))
    met: list[BaseException] = []
    received = threading.Event()

    def read() -> None:
        try:
            for _ in exchange.chunks():
                received.set()
        except StreamTruncated as error:
            met.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert exchange.wait_for_head(30)
    assert received.wait(30)
    exchange.abort()
    reader.join(30)
    assert not reader.is_alive()
    assert len(met) == 1
    assert_released(upstream)


def test_releases_the_connection_when_aborted_before_the_head(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream, server = make_upstream(Limits()), serve(always(STREAM, chunk(b"data: 1\n\n"), HANG))
    exchange = Exchange(lambda: (TARGET, send(upstream, server, STREAMED, within=60)))
    exchange.abort()
    assert list(exchange.chunks()) == []
    assert_released(upstream)


def test_releases_a_body_that_is_not_read_to_its_end(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream, server = make_upstream(Limits()), serve(always(STREAM, chunk(b"data: 1\n\n"), HANG))
    source = Exchange(lambda: (TARGET, send(upstream, server, STREAMED))).chunks()
    assert next(source) == b"data: 1\n\n"
    source.close()
    assert_released(upstream)
