"""Compressed responses, and bytes after the end of a response, over real sockets."""

import gzip
import zlib
from pathlib import Path
from threading import Event

import pytest

from gateway.core.answer_errors import EncodingUnsupported
from gateway.core.errors import AnswerTruncated, StreamTruncated
from gateway.proxy.upstream import Upstream
from tests.scripted_server import END, STREAM, always, answer, chunk, in_turn
from tests.unit.gateway.certificates import server_context
from tests.unit.gateway.conftest import MakeUpstream, Serve
from tests.unit.gateway.sending import STREAMED, assert_released, read, send, trusting

GZIP_STREAM = STREAM.replace(b"transfer-encoding", b"content-encoding: gzip\r\ntransfer-encoding")
BODY = b'{"model": "echo"}'


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY[:4], mtime=0) + gzip.compress(BODY[4:], mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("identity", BODY),
    ],
)
def test_decodes_a_compressed_answer(upstream: Upstream, serve: Serve, coding: str, body: bytes) -> None:
    response = send(upstream, serve(always(answer(body=body, content_encoding=coding))))

    assert read(response) == BODY
    assert "content-encoding" not in response.headers
    assert_released(upstream)


def test_decodes_a_stream_event_by_event(upstream: Upstream, serve: Serve) -> None:
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS + 16)
    events = [b"data: 1\n\n", b"data: 2\n\n"]
    first, second = (compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH) for event in events)
    arrived = Event()
    server = serve(always(GZIP_STREAM, chunk(first), arrived.wait, chunk(second + compressor.flush()), END))

    response = send(upstream, server, STREAMED)

    assert response.is_stream
    assert next(response.chunks) == events[0]
    arrived.set()
    assert list(response.chunks) == events[1:]


def test_a_cut_compressed_answer_is_truncated(upstream: Upstream, serve: Serve) -> None:
    cut = gzip.compress(BODY, mtime=0)[:-5]
    with pytest.raises(AnswerTruncated):
        read(send(upstream, serve(always(answer(body=cut, content_encoding="gzip")))))
    assert_released(upstream)


def test_a_cut_compressed_stream_is_truncated(upstream: Upstream, serve: Serve) -> None:
    cut = gzip.compress(b"data: 1\n\n" * 9, mtime=0)[:-5]
    with pytest.raises(StreamTruncated):
        read(send(upstream, serve(always(GZIP_STREAM, chunk(cut), END)), STREAMED))


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "a secret coding"])
def test_rejects_an_answer_in_another_coding(upstream: Upstream, serve: Serve, coding: str) -> None:
    with pytest.raises(EncodingUnsupported) as caught:
        send(upstream, serve(always(answer(body=b"xyz", content_encoding=coding))))

    name = coding.rpartition(" ")[2] if "secret" not in coding else "an unknown coding"
    assert f"compressed its answer with {name}," in caught.value.message
    assert (caught.value.status, caught.value.retryable) == (502, False)
    assert_released(upstream)


def test_an_error_in_another_coding_keeps_its_status(upstream: Upstream, serve: Serve) -> None:
    response = send(upstream, serve(always(answer(429, b"xyz", content_encoding="br", retry_after="3"))))

    assert (response.status, response.headers["retry-after"], read(response)) == (429, "3", b"")


SURPLUS = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"


@pytest.mark.parametrize("surplus", [b"x", b"\r\n\r\nx", SURPLUS])
@pytest.mark.parametrize("delay", [None, 0.3], ids=["at once", "later"])
@pytest.mark.parametrize("kind", ["length", "chunked"])
def test_bytes_after_a_response_never_cost_the_next_request(
    serve: Serve, make_upstream: MakeUpstream, surplus: bytes, delay: float | None, kind: str
) -> None:
    first = answer(body=BODY) if kind == "length" else STREAM + chunk(BODY) + END
    sent = Event()
    pieces = (first + surplus,) if delay is None else (first, delay, surplus, sent.set)
    server, upstream = serve(in_turn(pieces, (answer(body=b"the second"),))), make_upstream()

    assert read(send(upstream, server)) == BODY
    if delay is not None:
        assert sent.wait(30)
    assert read(send(upstream, server)) == b"the second"
    assert server.connections == 2


def test_bytes_after_a_response_over_tls_never_cost_the_next_request(
    serve: Serve, make_upstream: MakeUpstream, certificate: Path
) -> None:
    script = in_turn((answer(body=BODY) + SURPLUS,), (answer(body=b"the second"),))
    server, upstream = serve(script, tls=server_context(certificate)), trusting(make_upstream, certificate)

    assert read(send(upstream, server)) == BODY
    assert read(send(upstream, server)) == b"the second"


def test_a_connection_without_surplus_is_kept(serve: Serve, make_upstream: MakeUpstream) -> None:
    server, upstream = serve(always(answer(body=BODY))), make_upstream()

    assert [read(send(upstream, server)) for _ in range(3)] == [BODY] * 3
    assert server.connections == 1
