import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_streaming import wire
from runtime_api import RuntimeApi

NAMES = st.from_regex(r"x-[a-z0-9-]{1,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=100)


def test_prelude_is_metadata_and_eight_nul_bytes() -> None:
    assert wire.prelude(200, {"content-type": "text/event-stream"}) == (
        b'{"statusCode":200,"headers":{"content-type":"text/event-stream"}}\0\0\0\0\0\0\0\0'
    )


@settings(database=None, deadline=None, max_examples=100)
@given(st.integers(200, 599), st.dictionaries(NAMES, VALUES, max_size=20))
def test_prelude_round_trips(status: int, headers: dict[str, str]) -> None:
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
def test_drops_hop_by_hop_headers(name: str) -> None:
    assert wire.end_to_end_headers({name: "1", "x-kept": "2", "test": "3"}) == {"x-kept": "2", "test": "3"}


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "a\n", "a\0", "ä"])
def test_rejects_invalid_header_names(name: str) -> None:
    with pytest.raises(ValueError, match=r"^The header name .* is invalid"):
        wire.prelude(200, {name: "value"})


@pytest.mark.parametrize("value", ["a\rb", "a\n", "\0"])
def test_rejects_header_values_that_split_the_response_without_repeating_them(value: str) -> None:
    with pytest.raises(ValueError, match=r"^The value of the header x-name contains a line break or NUL. Remove it.$"):
        wire.prelude(200, {"x-name": value})


@pytest.mark.parametrize("status", [0, 100, 199, 600])
def test_rejects_statuses_that_are_not_final(status: int) -> None:
    with pytest.raises(ValueError, match="is not a final HTTP status"):
        wire.prelude(status, {})


def test_limits_the_prelude_to_16_kib() -> None:
    room = wire.MAX_PRELUDE_BYTES - len(wire.prelude(200, {"x": ""}))

    assert len(wire.prelude(200, {"x": "a" * room})) == wire.MAX_PRELUDE_BYTES
    with pytest.raises(ValueError, match="16385 bytes"):
        wire.prelude(200, {"x": "a" * (room + 1)})


@pytest.mark.parametrize(
    ("name", "error_type"),
    [
        ("ValueError", "Function.ValueError"),
        ("_2Späte_", "Function.Spte"),
        ("ü", "Function.Error"),
        ("x", "Function.X"),
    ],
)
def test_trailers_contain_the_type_but_never_the_text(name: str, error_type: str) -> None:
    error = type(name, (Exception,), {})("a secret")

    first, second, rest = wire.error_trailers(error).decode().split("\r\n")

    assert first == f"Lambda-Runtime-Function-Error-Type: {error_type}"
    description = json.loads(base64.b64decode(second.removeprefix("Lambda-Runtime-Function-Error-Body: ")))
    assert description == {"errorType": error_type, "errorMessage": f"the response body ended with {error_type}"}
    assert rest == ""


def test_sends_headers_and_chunks(runtime_api: RuntimeApi) -> None:
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


def test_disables_nagles_algorithm(runtime_api: RuntimeApi) -> None:
    with contextlib.closing(wire.ChunkedPost(runtime_api.address, "the-id")) as post:
        assert post._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_sends_no_invocation_id_unless_it_received_one(runtime_api: RuntimeApi) -> None:
    with contextlib.closing(wire.ChunkedPost(runtime_api.address, "the-id")) as post:
        post.begin(b"prelude")
        post.end()

    assert "invocation-id" not in runtime_api.next_post().head.lower()


def test_failed_response_ends_with_trailers(runtime_api: RuntimeApi) -> None:
    with contextlib.closing(wire.ChunkedPost(runtime_api.address, "the-id")) as post:
        post.begin(b"prelude")
        post.fail(KeyError("a secret"))

    exchange = runtime_api.next_post()
    assert exchange.chunks == [b"prelude"]
    assert exchange.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.KeyError"


@settings(database=None, deadline=None, max_examples=25)
@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_each_non_empty_chunk_arrives_as_one_chunk(chunks: list[bytes]) -> None:
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


def test_connection_refused_raises_runtime_api_error() -> None:
    with _listening() as (address, _):
        pass

    with pytest.raises(wire.RuntimeApiError, match="connection failed: ConnectionRefusedError"):
        wire.ChunkedPost(address, "id")


@pytest.mark.parametrize("address", ["", "host-without-port", "127.0.0.1:none"])
def test_invalid_address_raises_runtime_api_error(address: str) -> None:
    with pytest.raises(wire.RuntimeApiError, match="connection failed: ValueError"):
        wire.ChunkedPost(address, "id")


def test_early_reply_stops_the_sender_on_an_open_connection() -> None:
    with _listening() as (address, listener), contextlib.closing(wire.ChunkedPost(address, "id")) as post:
        peer, _ = listener.accept()
        with peer:
            post.begin(b"prelude")
            peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")

            with pytest.raises(wire.RuntimeApiError, match="answered 413 before the end"):
                _send_for(post, seconds=30)


def test_closed_connection_stops_the_sender() -> None:
    with _listening() as (address, listener), contextlib.closing(wire.ChunkedPost(address, "id")) as post:
        peer, _ = listener.accept()
        post.begin(b"prelude")
        peer.close()

        with pytest.raises(wire.RuntimeApiError, match="connection"):
            _send_for(post, seconds=30)


def test_stops_sending_at_the_deadline_to_a_peer_that_does_not_read() -> None:
    with _listening() as (address, listener):
        deadline = time.monotonic() + 2.5
        post = wire.ChunkedPost(address, "id", deadline=deadline)
        with contextlib.closing(post), listener.accept()[0]:
            post.begin(b"prelude")

            with pytest.raises(wire.RuntimeApiError, match="did not take the response before the deadline"):
                post.send(b"x" * 50_000_000)

            assert 0 <= time.monotonic() - deadline < 10


def test_sends_everything_to_a_peer_that_reads_slowly() -> None:
    body = bytes(range(256)) * 40_000
    with _listening() as (address, listener), contextlib.closing(wire.ChunkedPost(address, "id")) as post:
        peer, _ = listener.accept()
        with peer:
            sender = threading.Thread(target=post.send, args=(body,))
            sender.start()
            received = b""
            while not received.endswith(b"\xff\r\n"):
                received += peer.recv(1_000_000)
            sender.join()
    assert received == b"%x\r\n%s\r\n" % (len(body), body)


def test_waits_no_longer_for_the_reply_than_until_the_deadline() -> None:
    with _listening() as (address, listener):
        started = time.monotonic()
        post = wire.ChunkedPost(address, "id", deadline=started + 2.5)
        with contextlib.closing(post), listener.accept()[0]:
            post.begin(b"prelude")

            with pytest.raises(wire.RuntimeApiError, match="without a reply"):
                post.end()

            assert time.monotonic() - started < 10


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_missing_or_malformed_reply_raises_runtime_api_error(reply: bytes) -> None:
    with _listening() as (address, listener), contextlib.closing(wire.ChunkedPost(address, "id")) as post:
        peer, _ = listener.accept()
        with peer:
            post.begin(b"prelude")
            peer.sendall(reply)
            peer.shutdown(socket.SHUT_WR)

            with pytest.raises(wire.RuntimeApiError, match="without a reply"):
                post.end()


@contextlib.contextmanager
def _listening() -> Iterator[tuple[str, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}", listener


def _send_for(post: wire.ChunkedPost, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        post.send(b"x")
        time.sleep(0.005)
