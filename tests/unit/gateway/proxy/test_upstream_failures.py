from pathlib import Path

import pytest

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
from tests.unit.gateway import certificates
from tests.unit.gateway.builders import KEY, a_request
from tests.unit.gateway.certificates import server_context
from tests.unit.gateway.conftest import PUBLIC, MakeUpstream, Serve
from tests.unit.gateway.sending import assert_released, read, send, trusting
from tests.unit.gateway.servers import STREAM, Cut, always, answer, chunk

OK = answer(body=b"{}")


def refused(upstream: Upstream, endpoint: str, kind: type[ForwardingError] = ProviderUnreachable) -> str:
    """The words of the error, which must not be those of a library."""
    with pytest.raises(kind) as caught:
        upstream.forward(a_request(), Target("main", endpoint, key=KEY), within=5)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return plain(caught.value.message)


def plain(words: str) -> str:
    for foreign in ("Errno", "httpx", "httpcore", "SSL:", "_ssl", "codec", "Exception", "Error", KEY):
        assert foreign not in words
    return words


def test_a_refused_connection_is_told_as_such(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(OK))
    server.close()
    words = refused(upstream, "http://127.0.0.1:9/v1")
    assert words.startswith("http://127.0.0.1:9/v1 refused the connection.")


def test_an_unknown_host_is_told_as_such(upstream: Upstream) -> None:
    assert "host name of http://nosuch.invalid/v1 is not known" in refused(upstream, "http://nosuch.invalid/v1")


@pytest.mark.parametrize("host", ["tokenhub..example.com", "a" * 64 + ".example.com", "xn--", "exa$mple.invalid"])
def test_a_host_that_is_none_is_unreachable_and_no_surprise(upstream: Upstream, host: str) -> None:
    refused(upstream, f"https://{host}/v1")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_address_out_of_reach_hears_nothing_whatever_name_leads_to_it(
    serve: Serve, make_upstream: MakeUpstream, host: str, scheme: str
) -> None:
    server = serve(always(OK))
    endpoint = server.url.replace("127.0.0.1", host).replace("http:", f"{scheme}:")
    words = refused(make_upstream(guard=PUBLIC.guard_address), endpoint, EndpointRefused)
    assert words.startswith(f"{endpoint} leads to an address that the gateway does not call.")
    assert (server.received, server.noise) == ([], b"")


def test_tls_to_a_plain_port_is_told_as_such_and_tried_twice(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(OK))
    assert "could not agree on TLS" in refused(upstream, server.url.replace("http:", "https:"))
    assert server.connections == 2
    assert server.received == []


def test_a_certificate_of_nobody_known_is_told_as_such(serve: Serve, upstream: Upstream, certificate: Path) -> None:
    server = serve(always(OK), tls=server_context(certificate))
    assert refused(upstream, server.url).startswith(
        f"The certificate of {server.url} is of no authority that is known."
    )
    assert server.received == []


def test_a_certificate_of_another_host_is_told_as_such(
    serve: Serve, make_upstream: MakeUpstream, foreign_certificate: Path
) -> None:
    server = serve(always(OK), tls=server_context(foreign_certificate))
    words = refused(trusting(make_upstream, foreign_certificate), server.url)
    assert words.startswith(f"The certificate of {server.url} is for another host name.")
    assert server.received == []


@pytest.mark.parametrize("age_days", [1, -1], ids=["expired", "not yet valid"])
def test_a_certificate_out_of_its_time_is_told_as_such(
    serve: Serve, make_upstream: MakeUpstream, tmp_path: Path, age_days: int
) -> None:
    old = certificates.write(tmp_path / "old.pem", address="127.0.0.1", ended_days_ago=age_days * 3)
    server = serve(always(OK), tls=server_context(old))
    words = refused(trusting(make_upstream, old), server.url)
    assert words.startswith(f"The certificate of {server.url} has expired, or is not valid yet. Renew it.")
    assert server.received == []


def test_a_request_that_was_sent_is_not_sent_again(serve: Serve, upstream: Upstream) -> None:
    server = serve(always(Cut.CLOSE))
    words = refused(upstream, server.url, ProviderDisconnected)
    assert "closed the connection without an answer" in words
    assert len(server.received) == 1


@pytest.mark.parametrize("half", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 200 OK\r\n"])
def test_a_reset_before_the_head_is_whole_is_a_disconnection(serve: Serve, upstream: Upstream, half: bytes) -> None:
    server = serve(always(half, 0.05, Cut.RESET))
    refused(upstream, server.url, ProviderDisconnected)
    assert len(server.received) == 1


@pytest.mark.parametrize("noise", [b"no http at all\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_an_answer_that_is_no_http_is_a_disconnection(serve: Serve, upstream: Upstream, noise: bytes) -> None:
    refused(upstream, serve(always(noise, Cut.CLOSE)).url, ProviderDisconnected)


@pytest.mark.parametrize("cut", [Cut.CLOSE, Cut.RESET])
@pytest.mark.parametrize(("asked", "kind"), [(True, StreamTruncated), (False, AnswerTruncated)])
def test_an_answer_that_breaks_off_is_truncated_after_what_came(
    serve: Serve, upstream: Upstream, cut: Cut, asked: bool, kind: type[ForwardingError]
) -> None:
    got = send(upstream, serve(always(STREAM, chunk(b"data: 1\n\n"), 0.05, cut)), a_request(stream=asked))
    came: list[bytes] = []
    with pytest.raises(kind):
        came.extend(got.chunks)
    if cut is Cut.CLOSE:  # a reset may throw away what was not read yet
        assert came == [b"data: 1\n\n"]


def test_a_body_shorter_than_it_said_is_truncated(serve: Serve, upstream: Upstream) -> None:
    short = answer(body=b"0123456789")[:-4]
    got = send(upstream, serve(always(short, Cut.CLOSE)))
    with pytest.raises(AnswerTruncated):
        read(got)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_never_followed(serve: Serve, upstream: Upstream, status: int) -> None:
    elsewhere = serve(always(OK))
    server = serve(always(answer(status, location=elsewhere.url)))
    words = refused(upstream, server.url, RedirectRefused)
    assert "Register the final address" in words
    assert elsewhere.received == []
    assert_released(upstream)


def test_an_error_does_not_hold_the_key() -> None:
    assert KEY not in repr(Target("main", "https://a.example", key=KEY))
