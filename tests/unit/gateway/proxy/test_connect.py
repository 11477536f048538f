"""Connecting to hosts with several addresses or slow DNS: one timeout covers them all, and the error is right."""

import socket
import time
from dataclasses import replace

import httpx
import pytest

from gateway.core.errors import ProviderUnreachable
from gateway.proxy.upstream import Target, Upstream
from tests.deaf import deaf
from tests.scripted_server import always, answer
from tests.unit.gateway.builders import a_request
from tests.unit.gateway.conftest import QUICK, MakeUpstream, Serve
from tests.unit.gateway.names import NAME, Dns
from tests.unit.gateway.sending import read

OK = always(answer(body=b"{}"))
A_SECOND = replace(QUICK, connect=1.0)
FOUR_SECONDS = replace(QUICK, connect=4.0)


def unreachable(upstream: Upstream, endpoint: str) -> tuple[str, float]:
    """Returns the error message and the seconds until it was raised."""
    began = time.monotonic()
    with pytest.raises(ProviderUnreachable) as caught:
        upstream.forward(a_request(), Target("main", endpoint), within=30)
    return caught.value.message, time.monotonic() - began


@pytest.mark.parametrize("count", [1, 2, 8])
def test_shares_the_timeout_among_unreachable_addresses(
    make_upstream: MakeUpstream, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    addresses = [f"127.0.0.{number}" for number in range(1, count + 1)]
    dns = Dns(monkeypatch, *addresses)

    with deaf(*addresses) as port:
        message, seconds = unreachable(make_upstream(A_SECOND), f"http://{NAME}:{port}/v1")

    assert message == (
        f"http://{NAME}:{port}/v1 did not accept a connection in time. Check the address and the firewalls in between."
    )
    # A second for each of the eight addresses would take 8 seconds.
    assert 0.9 < seconds < 5
    # There was no second attempt.
    assert dns.lookups == 1


def test_connects_to_the_next_address_when_one_does_not_answer(
    make_upstream: MakeUpstream, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    Dns(monkeypatch, "127.0.0.2", "127.0.0.1")
    with deaf("127.0.0.2", port=httpx.URL(serve(OK).url).port or 0) as port:
        target = Target("main", f"http://{NAME}:{port}/v1")
        response = make_upstream(FOUR_SECONDS).forward(a_request(), target, within=30)

    assert (response.status, read(response)) == (200, b"{}")


def test_resolves_a_slow_dns_name_once_and_names_it_in_the_error(
    make_upstream: MakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def slow(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        time.sleep(1.1)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    message, _ = unreachable(make_upstream(A_SECOND), f"http://{NAME}/v1")

    assert message == f"The host name of http://{NAME}/v1 cannot be resolved. Check its spelling and its DNS entry."
    assert asked == 1


def test_retries_a_refused_connection(make_upstream: MakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    dns = Dns(monkeypatch, "127.0.0.1")
    message, _ = unreachable(make_upstream(), f"http://{NAME}:9/v1")

    assert message.startswith(f"http://{NAME}:9/v1 refused the connection.")
    assert dns.lookups == 2
