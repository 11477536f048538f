from pathlib import Path

import pytest

from gateway.core.answer_errors import ProviderHeadTooLarge
from gateway.core.errors import (
    AnswerTruncated,
    EndpointRefused,
    ForwardingError,
    ProviderDisconnected,
    ProviderUnreachable,
    RedirectRefused,
    StreamTruncated,
)
from gateway.proxy.upstream import Target, Upstream
from tests.scripted_server import STREAM, Cut, always, answer, chunk
from tests.unit.gateway import certificates
from tests.unit.gateway.builders import KEY, a_request
from tests.unit.gateway.certificates import server_context
from tests.unit.gateway.conftest import PUBLIC, MakeUpstream, Serve
from tests.unit.gateway.sending import assert_released, read, send, trusting

OK = answer(body=b"{}")


def refused(upstream: Upstream, endpoint: str, kind: type[ForwardingError] = ProviderUnreachable) -> str:
    """The words of the error, which must not be those of a library."""
    with pytest.raises(kind) as caught:
        upstream.forward(a_request(), Target("main", endpoint, key=KEY), within=30)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return plain(caught.value.message)


def plain(message: str) -> str:
    for foreign in ("Errno", "httpx", "httpcore", "SSL:", "_ssl", "codec", "Exception", "Error", KEY):
        assert foreign not in message
    return message


def test_explains_a_refused_connection(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(OK))
    server.close()
    message = refused(upstream, "http://127.0.0.1:9/v1")
    assert message.startswith("http://127.0.0.1:9/v1 refused the connection.")


def test_explains_an_unknown_host(upstream: Upstream) -> None:
    assert "host name of http://nosuch.invalid/v1 cannot be resolved" in refused(upstream, "http://nosuch.invalid/v1")


@pytest.mark.parametrize("host", ["tokenhub..example.com", "a" * 64 + ".example.com", "xn--", "exa$mple.invalid"])
def test_treats_an_invalid_host_as_unreachable(upstream: Upstream, host: str) -> None:
    refused(upstream, f"https://{host}/v1")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_sends_nothing_to_a_guarded_address_under_any_name(
    serve: Serve, make_upstream: MakeUpstream, host: str, scheme: str
) -> None:
    server = serve(always(OK))
    endpoint = server.url.replace("127.0.0.1", host).replace("http:", f"{scheme}:")
    message = refused(make_upstream(guard=PUBLIC.guard_address), endpoint, EndpointRefused)
    assert message.startswith(f"{endpoint} resolves to an address that the gateway must not call.")
    assert (server.requests, server.noise) == ([], b"")


def test_explains_tls_to_a_plain_port_after_two_attempts(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(OK))
    url = server.url.replace("http:", "https:")
    assert refused(upstream, url).startswith(f"The TLS handshake with {url} failed.")
    assert server.connections == 2
    assert server.requests == []


def test_explains_an_untrusted_certificate(serve: Serve, upstream: Upstream, certificate: Path) -> None:
    server = serve(always(OK), tls=server_context(certificate))
    assert refused(upstream, server.url).startswith(f"The certificate of {server.url} is not from a trusted authority.")
    assert server.requests == []


def test_explains_a_certificate_of_another_host(
    serve: Serve, make_upstream: MakeUpstream, foreign_certificate: Path
) -> None:
    server = serve(always(OK), tls=server_context(foreign_certificate))
    message = refused(trusting(make_upstream, foreign_certificate), server.url)
    assert message.startswith(f"The certificate of {server.url} is for another host name.")
    assert server.requests == []


@pytest.mark.parametrize("age_days", [1, -1], ids=["expired", "not yet valid"])
def test_explains_an_expired_certificate(
    serve: Serve, make_upstream: MakeUpstream, tmp_path: Path, age_days: int
) -> None:
    old = certificates.write(tmp_path / "old.pem", address="127.0.0.1", ended_days_ago=age_days * 3)
    server = serve(always(OK), tls=server_context(old))
    message = refused(trusting(make_upstream, old), server.url)
    assert message.startswith(f"The certificate of {server.url} has expired or is not valid yet. Renew it.")
    assert server.requests == []


def test_never_sends_a_request_twice(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(Cut.CLOSE))
    message = refused(upstream, server.url, ProviderDisconnected)
    assert "closed the connection without an HTTP response" in message
    assert len(server.requests) == 1


@pytest.mark.parametrize("half", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 200 OK\r\n"])
def test_treats_a_reset_before_the_head_as_a_disconnection(serve: Serve, upstream: Upstream, half: bytes) -> None:
    server = serve(always(half, 0.05, Cut.RESET))
    refused(upstream, server.url, ProviderDisconnected)
    assert len(server.requests) == 1


@pytest.mark.parametrize("noise", [b"no http at all\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_treats_bytes_that_are_not_http_as_a_disconnection(serve: Serve, upstream: Upstream, noise: bytes) -> None:
    refused(upstream, serve(always(noise, Cut.CLOSE)).url, ProviderDisconnected)


@pytest.mark.parametrize("cut", [Cut.CLOSE, Cut.RESET])
@pytest.mark.parametrize(("asked", "kind"), [(True, StreamTruncated), (False, AnswerTruncated)])
def test_raises_truncated_after_the_received_chunks(
    serve: Serve, upstream: Upstream, cut: Cut, asked: bool, kind: type[ForwardingError]
) -> None:
    response = send(upstream, serve(always(STREAM, chunk(b"data: 1\n\n"), 0.05, cut)), a_request(stream=asked))
    received: list[bytes] = []
    with pytest.raises(kind):
        received.extend(response.chunks)
    # A reset may discard bytes that were not read yet.
    if cut is Cut.CLOSE:
        assert received == [b"data: 1\n\n"]


def test_treats_a_body_shorter_than_its_length_as_truncated(serve: Serve, upstream: Upstream) -> None:
    short = answer(body=b"0123456789")[:-4]
    response = send(upstream, serve(always(short, Cut.CLOSE)))
    with pytest.raises(AnswerTruncated):
        read(response)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_refuses_redirects(serve: Serve, upstream: Upstream, status: int) -> None:
    elsewhere = serve(always(OK))
    server = serve(always(answer(status, location=elsewhere.url)))
    message = refused(upstream, server.url, RedirectRefused)
    assert "Register the final address" in message
    assert elsewhere.requests == []
    assert_released(upstream)


def test_repr_of_a_target_hides_its_key() -> None:
    assert KEY not in repr(Target("main", "https://a.example", key=KEY))


def test_explains_a_head_that_is_too_large(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(answer(body=b"{}", x_padding="x" * 300_000)))
    message = refused(upstream, server.url, ProviderHeadTooLarge)
    assert message.startswith(f"{server.url} sent a status and headers of over 100 KB.")


def test_accepts_a_head_of_over_16_kb(serve: Serve, upstream: Upstream) -> None:
    response = send(upstream, serve(always(answer(body=b"{}", x_padding="x" * 40_000))))
    assert read(response) == b"{}"
