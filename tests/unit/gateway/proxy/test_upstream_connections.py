import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from gateway.core.errors import (
    ForwardingError,
    StreamTruncated,
)
from gateway.proxy.settings import Limits
from gateway.proxy.upstream import Upstream, UpstreamResponse
from tests.rehearsal import wait_until
from tests.scripted_server import END, HANG, STREAM, Cut, Piece, always, answer, chunk, in_turn
from tests.unit.gateway.certificates import server_context
from tests.unit.gateway.conftest import MakeUpstream, Serve
from tests.unit.gateway.sending import STREAMED, assert_released, read, send, trusting

OK = answer(body=b"{}")


def hang_up_while_reading(response: UpstreamResponse) -> tuple[list[BaseException], float]:
    """What the reader met, and after how long, when another thread hung up."""
    met: list[BaseException] = []
    received = threading.Event()

    def reader() -> None:
        try:
            for _ in response.chunks:
                received.set()
        except ForwardingError as error:
            met.append(error)

    thread = threading.Thread(target=reader)
    thread.start()
    assert received.wait(30)
    # Most often the reader waits for the next chunk by then. A slower one finds a closed connection.
    time.sleep(0.1)
    began = time.monotonic()
    response.abort()
    thread.join(30)
    assert not thread.is_alive()
    return met, time.monotonic() - began


def test_abort_wakes_a_reader_in_another_thread(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream = make_upstream(Limits())
    response = send(upstream, serve(always(STREAM, chunk(b"data: 1\n\n"), HANG)), STREAMED, within=60)
    met, seconds = hang_up_while_reading(response)
    assert seconds < 10
    assert isinstance(met[0], StreamTruncated)
    assert_released(upstream)


def test_abort_wakes_a_reader_over_tls(serve: Serve, make_upstream: MakeUpstream, certificate: Path) -> None:
    server = serve(always(STREAM, chunk(b"data: 1\n\n"), HANG), tls=server_context(certificate))
    upstream = trusting(make_upstream, certificate, Limits())
    met, seconds = hang_up_while_reading(send(upstream, server, STREAMED, within=60))
    assert seconds < 10
    assert isinstance(met[0], StreamTruncated)
    assert_released(upstream)


def test_abort_after_the_end_does_not_affect_the_next_request(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(OK))
    first = send(upstream, server)
    read(first)
    first.abort()
    assert read(send(upstream, server)) == b"{}"
    assert server.connections == 1


def test_closing_disconnects_the_provider_at_once(serve: Serve, upstream: Upstream) -> None:
    endless: tuple[Piece, ...] = (chunk(b"data: 1\n\n"), 0.05) * 600
    server = serve(in_turn((STREAM, *endless, END), (OK,)))
    response = send(upstream, server, STREAMED)
    next(response.chunks)
    response.abort()
    response.chunks.close()
    assert_released(upstream)
    read(send(upstream, server))
    assert server.connections == 2


def test_closing_releases_an_unread_response(serve: Serve, upstream: Upstream) -> None:
    response = send(upstream, serve(always(STREAM, chunk(b"data: 1\n\n"), HANG)), STREAMED)
    response.chunks.close()
    assert_released(upstream)


class WallClock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_reuses_a_connection(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(OK))
    for _ in range(3):
        read(send(upstream, server))
    assert server.connections == 1


@pytest.mark.parametrize(("idle", "connections"), [(45.0, 1), (45.1, 2), (3600.0, 2)])
def test_does_not_reuse_a_connection_idle_for_45_seconds(
    serve: Serve, make_upstream: MakeUpstream, idle: float, connections: int
) -> None:
    clock, server = WallClock(), serve(always(OK))
    upstream = make_upstream(wall_clock=clock)
    read(send(upstream, server))
    clock.now += idle
    read(send(upstream, server))
    assert server.connections == connections
    clock.now += 1
    read(send(upstream, server))
    assert server.connections == connections


@pytest.mark.parametrize("cut", [Cut.CLOSE, Cut.RESET])
def test_survives_a_kept_connection_that_the_provider_closed(serve: Serve, upstream: Upstream, cut: Cut) -> None:
    server = serve(always(OK, 0.05, cut))
    for _ in range(3):
        assert read(send(upstream, server)) == b"{}"
        assert wait_until(lambda: server.open_connections == 0)
    assert server.connections == 3


def at_once(count: int, work: Callable[[], bytes]) -> Iterator[bytes]:
    ready = threading.Barrier(count)

    def together() -> bytes:
        ready.wait(30)
        return work()

    with ThreadPoolExecutor(count) as pool:
        yield from [future.result() for future in [pool.submit(together) for _ in range(count)]]


def test_threads_share_one_transport_also_after_a_freeze(serve: Serve, make_upstream: MakeUpstream) -> None:
    made: list[httpx.BaseTransport] = []

    def transport() -> httpx.BaseTransport:
        made.append(httpx.HTTPTransport(verify=False))
        return made[-1]

    clock, server = WallClock(), serve(always(OK))
    upstream = make_upstream(transport=transport, wall_clock=clock)
    for round_ in (1, 2, 3):
        assert list(at_once(16, lambda: read(send(upstream, server)))) == [b"{}"] * 16
        assert len(made) == round_
        clock.now += 46
