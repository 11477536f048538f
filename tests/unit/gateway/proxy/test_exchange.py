import threading
import time
from collections.abc import Generator

import pytest

from gateway.core.errors import ProviderUnreachable, StreamTruncated
from gateway.core.settings import Limits
from gateway.proxy.exchange import Exchange
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.upstream import Target, UpstreamResponse
from tests.unit.gateway.builders import ENDPOINT
from tests.unit.gateway.conftest import MakeUpstream, Serve
from tests.unit.gateway.sending import STREAMED, assert_released, send
from tests.unit.gateway.servers import HANG, STREAM, always, chunk

TARGET = Target("main", ENDPOINT)


def answering(*pieces: bytes, content_type: str = "text/event-stream") -> Exchange:
    def body() -> Generator[bytes]:
        yield from pieces

    return Exchange(lambda: (TARGET, UpstreamResponse(200, {"content-type": content_type}, body(), 1.0, lambda: None)))


def failing() -> tuple[Target, UpstreamResponse]:
    raise ProviderUnreachable("not there")


def test_nothing_is_sent_before_the_body_is_asked_for() -> None:
    exchange = Exchange(failing)
    exchange.source()
    assert not exchange.begun(0)
    assert exchange.answer() is None


def test_the_head_is_known_as_soon_as_the_body_begins() -> None:
    exchange = answering(b"a", b"b")
    source = exchange.source()
    assert next(source) == b"a"
    assert exchange.begun(0)
    assert exchange.head.result()[0] == TARGET
    assert list(source) == [b"b"]


def test_an_error_of_sending_is_the_heads_and_the_bodys() -> None:
    exchange = Exchange(failing)
    with pytest.raises(ProviderUnreachable):
        next(exchange.source())
    assert exchange.begun(0)
    assert isinstance(exchange.head.exception(), ProviderUnreachable)
    assert (exchange.answer(), exchange.keep_alive()) == (None, KEEP_ALIVE)


def test_the_head_is_waited_for_only_so_long() -> None:
    free = threading.Event()

    def late() -> tuple[Target, UpstreamResponse]:
        free.wait(5)
        return failing()

    exchange = Exchange(late)

    def read() -> None:
        with pytest.raises(ProviderUnreachable):
            next(exchange.source())

    reader = threading.Thread(target=read)
    reader.start()
    began = time.monotonic()
    assert not exchange.begun(0.05)
    assert time.monotonic() - began < 0.5
    free.set()
    assert exchange.begun(None)
    reader.join(5)


@pytest.mark.parametrize(("content_type", "said"), [("text/event-stream", KEEP_ALIVE), ("application/json", None)])
def test_silence_is_filled_in_a_stream_only(content_type: str, said: bytes | None) -> None:
    exchange = answering(b"a", content_type=content_type)
    assert exchange.keep_alive() == KEEP_ALIVE
    next(exchange.source())
    assert exchange.keep_alive() == said


def test_hanging_up_wakes_the_thread_that_reads_and_leaves_no_connection(
    serve: Serve, make_upstream: MakeUpstream
) -> None:
    upstream, server = make_upstream(Limits()), serve(always(STREAM, chunk(b"data: 1\n\n"), HANG))
    exchange = Exchange(lambda: (TARGET, send(upstream, server, STREAMED, within=60)))
    met: list[BaseException] = []

    def read() -> None:
        try:
            list(exchange.source())
        except StreamTruncated as error:
            met.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert exchange.begun(5)
    time.sleep(0.05)
    exchange.abort()
    reader.join(1)
    assert not reader.is_alive()
    assert len(met) == 1
    assert_released(upstream)


def test_a_client_that_left_before_the_head_leaves_no_connection_after_it(
    serve: Serve, make_upstream: MakeUpstream
) -> None:
    upstream, server = make_upstream(Limits()), serve(always(STREAM, chunk(b"data: 1\n\n"), HANG))
    exchange = Exchange(lambda: (TARGET, send(upstream, server, STREAMED, within=60)))
    exchange.abort()
    assert list(exchange.source()) == []
    assert_released(upstream)


def test_a_body_that_is_not_read_to_its_end_is_released(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream, server = make_upstream(Limits()), serve(always(STREAM, chunk(b"data: 1\n\n"), HANG))
    source = Exchange(lambda: (TARGET, send(upstream, server, STREAMED))).source()
    assert next(source) == b"data: 1\n\n"
    source.close()
    assert_released(upstream)
