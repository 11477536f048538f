import base64
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_streaming import wire
from tests.runtime_api import RuntimeApi

NAMES = st.from_regex(r"x-[a-z0-9-]{1,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=100)


def test_the_prelude_is_the_metadata_and_eight_nul_bytes() -> None:
    assert wire.prelude(200, {"content-type": "text/event-stream"}) == (
        b'{"statusCode":200,"headers":{"content-type":"text/event-stream"}}\0\0\0\0\0\0\0\0'
    )


@settings(database=None, deadline=None, max_examples=100)
@given(st.integers(200, 599), st.dictionaries(NAMES, VALUES, max_size=20))
def test_the_prelude_is_read_back_as_it_was_given(status: int, headers: dict[str, str]) -> None:
    metadata, delimiter, rest = wire.prelude(status, headers).partition(bytes(8))

    assert json.loads(metadata) == {"statusCode": status, "headers": headers}
    assert (delimiter, rest) == (bytes(8), b"")
    assert b"\0" not in metadata


@pytest.mark.parametrize(
    "name",
    [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "proxy-authenticate",
    ],
)
def test_headers_of_one_connection_are_left_out(name: str) -> None:
    assert wire.end_to_end({name: "1", "x-kept": "2", "test": "3"}) == {"x-kept": "2", "test": "3"}


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "a\n", "a\0", "ä"])
def test_a_header_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a header name"):
        wire.prelude(200, {name: "value"})


@pytest.mark.parametrize("value", ["a\rb", "a\n", "\0"])
def test_a_header_value_that_could_split_the_response_is_refused_and_not_told(value: str) -> None:
    with pytest.raises(ValueError, match=r"^line break or NUL in the header x-name$"):
        wire.prelude(200, {"x-name": value})


@pytest.mark.parametrize("status", [0, 100, 199, 600])
def test_a_status_that_is_not_final_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="not a final HTTP status"):
        wire.prelude(status, {})


def test_a_prelude_of_16_kib_passes_and_one_byte_more_is_refused() -> None:
    room = wire.MOST_PRELUDE - len(wire.prelude(200, {"x": ""}))

    assert len(wire.prelude(200, {"x": "a" * room})) == wire.MOST_PRELUDE
    with pytest.raises(ValueError, match="16385 bytes"):
        wire.prelude(200, {"x": "a" * (room + 1)})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ValueError", "Function.ValueError"),
        ("_2Späte_", "Function.Spte"),
        ("ü", "Function.Error"),
        ("x", "Function.X"),
    ],
)
def test_the_trailers_name_the_type_but_never_the_text(name: str, kind: str) -> None:
    error = type(name, (Exception,), {})("a secret")

    first, second, rest = wire.error_trailers(error).decode().split("\r\n")

    assert first == f"Lambda-Runtime-Function-Error-Type: {kind}"
    told = json.loads(base64.b64decode(second.removeprefix("Lambda-Runtime-Function-Error-Body: ")))
    assert told == {"errorType": kind, "errorMessage": f"the response body ended with {kind}"}
    assert rest == ""


def test_a_response_goes_out_with_its_headers_and_in_its_chunks(runtime_api: RuntimeApi) -> None:
    with contextlib.closing(wire.ChunkedPost(runtime_api.address, "the-id", "the-invocation")) as post:
        post.begin(b"prelude")
        post.send(b"")
        post.send(b"x" * 300)
        status = post.end()

    exchange = runtime_api.next_post()
    assert status == 202
    assert exchange.head.splitlines() == [
        "POST /2018-06-01/runtime/invocation/the-id/response HTTP/1.1",
        f"Host: {runtime_api.address}",
        f"User-Agent: {wire.USER_AGENT}",
        "Content-Type: application/vnd.awslambda.http-integration-response",
        "Lambda-Runtime-Function-Response-Mode: streaming",
        "Transfer-Encoding: chunked",
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
        "Lambda-Runtime-Invocation-Id: the-invocation",
    ]
    assert exchange.raw == b"7\r\nprelude\r\n12c\r\n" + b"x" * 300 + b"\r\n0\r\n\r\n"


def test_small_chunks_are_not_held_back_by_the_kernel(runtime_api: RuntimeApi) -> None:
    with contextlib.closing(wire.ChunkedPost(runtime_api.address, "the-id")) as post:
        assert post._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_invocation_id_is_made_up(runtime_api: RuntimeApi) -> None:
    with contextlib.closing(wire.ChunkedPost(runtime_api.address, "the-id")) as post:
        post.begin(b"prelude")
        post.end()

    assert "invocation-id" not in runtime_api.next_post().head.lower()


def test_a_failed_response_ends_with_the_trailers(runtime_api: RuntimeApi) -> None:
    with contextlib.closing(wire.ChunkedPost(runtime_api.address, "the-id")) as post:
        post.begin(b"prelude")
        post.fail(KeyError("a secret"))

    exchange = runtime_api.next_post()
    assert exchange.chunks == [b"prelude"]
    assert exchange.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.KeyError"


@settings(database=None, deadline=None, max_examples=25)
@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_every_non_empty_chunk_arrives_as_one(chunks: list[bytes]) -> None:
    with _listening() as (address, listener), contextlib.closing(wire.ChunkedPost(address, "id")) as post:
        peer, _ = listener.accept()
        post.begin(b"prelude")
        for chunk in chunks:
            post.send(chunk)
        peer.sendall(b"HTTP/1.1 202 Accepted\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        post.end()
        with peer, peer.makefile("rb") as lines:
            while lines.readline().strip():
                pass
            received = [lines.read(int(size, 16) + 2)[:-2] for size in iter(lines.readline, b"0\r\n")]

    assert received == [b"prelude", *filter(None, chunks)]


def test_a_refused_connection_is_a_runtime_api_error() -> None:
    with _listening() as (address, _):
        pass

    with pytest.raises(wire.RuntimeApiError, match="no connection: ConnectionRefusedError"):
        wire.ChunkedPost(address, "id")


@pytest.mark.parametrize("address", ["", "host-without-port", "127.0.0.1:none"])
def test_an_unusable_address_is_a_runtime_api_error(address: str) -> None:
    with pytest.raises(wire.RuntimeApiError, match="no connection: ValueError"):
        wire.ChunkedPost(address, "id")


def test_an_early_reply_stops_the_sender_though_the_connection_stays_open() -> None:
    with _listening() as (address, listener), contextlib.closing(wire.ChunkedPost(address, "id")) as post:
        peer, _ = listener.accept()
        with peer:
            post.begin(b"prelude")
            peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")

            with pytest.raises(wire.RuntimeApiError, match="answered 413 before the end"):
                _send_for(post, seconds=2)


def test_a_closed_connection_stops_the_sender() -> None:
    with _listening() as (address, listener), contextlib.closing(wire.ChunkedPost(address, "id")) as post:
        peer, _ = listener.accept()
        post.begin(b"prelude")
        peer.close()

        with pytest.raises(wire.RuntimeApiError, match="connection"):
            _send_for(post, seconds=2)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_no_reply_or_nonsense_at_the_end_is_a_runtime_api_error(reply: bytes) -> None:
    with _listening() as (address, listener), contextlib.closing(wire.ChunkedPost(address, "id")) as post:
        peer, _ = listener.accept()
        with peer:
            post.begin(b"prelude")
            peer.sendall(reply)
            peer.shutdown(socket.SHUT_WR)

            with pytest.raises(wire.RuntimeApiError, match="without an answer"):
                post.end()


@contextlib.contextmanager
def _listening() -> Iterator[tuple[str, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}", listener


@contextlib.contextmanager
def _draining() -> Iterator[str]:
    """An address whose first connection is read by another process, so that it does not take our time."""
    with _listening() as (address, listener):
        reader = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import socket; s = socket.socket(fileno=0).accept()[0]\nwhile s.recv(1 << 20): pass",
            ],
            stdin=listener.fileno(),
        )
        yield address
        reader.kill()
        reader.wait()


def _send_for(post: wire.ChunkedPost, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        post.send(b"x")
        time.sleep(0.005)
