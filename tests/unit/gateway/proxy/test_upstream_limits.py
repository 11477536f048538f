import time
from dataclasses import replace

import pytest

from gateway.core.errors import (
    DeadlineExceeded,
    FirstByteTimeout,
    StreamIdleTimeout,
)
from gateway.proxy.settings import Limits
from gateway.proxy.upstream import Upstream
from tests.scripted_server import END, HANG, STREAM, always, answer, chunk
from tests.unit.gateway.conftest import QUICK, MakeUpstream, Serve
from tests.unit.gateway.sending import STREAMED, read, send

OK = answer(body=b"{}")


def test_names_the_limit_that_a_response_exceeded(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream = make_upstream(replace(QUICK, first_byte=0.2))
    began = time.monotonic()
    with pytest.raises(FirstByteTimeout, match=r"did not send a first byte within 0\.2 s"):
        send(upstream, serve(always(HANG)), STREAMED)
    assert 0.15 < time.monotonic() - began < 10


def test_applies_the_first_byte_limit_to_streams_only(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream = make_upstream(replace(QUICK, first_byte=0.1))
    assert send(upstream, serve(always(0.4, OK))).status == 200


def test_takes_no_longer_than_within(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream = make_upstream(Limits())
    began = time.monotonic()
    with pytest.raises((FirstByteTimeout, DeadlineExceeded)):
        send(upstream, serve(always(HANG)), within=1)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("within", [4.0, 9.0])
def test_accepts_a_quick_answer_within_a_short_time(serve: Serve, make_upstream: MakeUpstream, within: float) -> None:
    upstream = make_upstream(Limits())
    assert send(upstream, serve(always(OK)), within=within).status == 200


def test_leaves_most_of_the_time_to_the_answer(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream, server = make_upstream(Limits()), serve(always(2.0, OK))

    def is_in_time() -> bool:
        try:
            return send(upstream, server, within=3.9).status == 200
        except FirstByteTimeout:
            return False

    # A busy machine may be late, but not three times.
    assert any(is_in_time() for _ in range(3))


@pytest.mark.parametrize("within", [0.0, -1.0])
def test_sends_nothing_without_time_left(serve: Serve, upstream: Upstream, within: float) -> None:
    server = serve(always(OK))
    with pytest.raises((DeadlineExceeded, FirstByteTimeout)):
        send(upstream, server, within=within)
    assert server.requests == []


def test_limits_the_silence_of_a_stream_but_not_its_start(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream = make_upstream(replace(QUICK, stream_idle=0.2))
    response = send(upstream, serve(always(0.4, STREAM + chunk(b"data: 1\n\n"), HANG)), STREAMED)
    assert next(response.chunks) == b"data: 1\n\n"
    began = time.monotonic()
    with pytest.raises(StreamIdleTimeout, match=r"did not continue its stream within 0\.2 s"):
        next(response.chunks)
    assert 0.15 < time.monotonic() - began < 10


def test_limits_the_whole_of_an_answer_that_is_not_a_stream(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream = make_upstream(replace(QUICK, whole=2.5))
    response = send(upstream, serve(always(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", HANG)))
    with pytest.raises(DeadlineExceeded, match=r"did not complete its answer within 2\.5 s"):
        list(response.chunks)


def test_allows_a_long_stream_without_silence(serve: Serve, make_upstream: MakeUpstream) -> None:
    upstream = make_upstream(replace(QUICK, stream_idle=3.5))
    pieces = [piece for number in range(18) for piece in (chunk(b"data: %d\n\n" % number), 0.2)]
    response = send(upstream, serve(always(STREAM, *pieces, END)), STREAMED)
    assert read(response).count(b"data") == 18
