"""A name leads elsewhere than at registration: the address that it came to is judged, each time and before a byte."""

import httpx
import pytest

from gateway.core.errors import EndpointRefused, InvalidEndpoint
from gateway.proxy.upstream import Target, Upstream
from tests.scripted_server import ScriptedServer, always, answer
from tests.unit.gateway.builders import a_request
from tests.unit.gateway.conftest import PUBLIC, QUICK, MakeUpstream, Serve
from tests.unit.gateway.names import NAME, Dns
from tests.unit.gateway.sending import read

OK = always(answer(body=b"{}"))
# Two loopback addresses take the roles. The test's server listens on the second one.
PUBLIC_ADDRESS, PRIVATE_ADDRESS = "127.0.0.2", "127.0.0.1"


def but_private(address: str) -> None:
    if address == PRIVATE_ADDRESS:
        raise InvalidEndpoint("private")


def ask(upstream: Upstream, server: ScriptedServer) -> None:
    port = httpx.URL(server.url).port
    read(upstream.forward(a_request(), Target("main", f"http://{NAME}:{port}/v1", key="secret"), within=30))


def test_refuses_a_public_name_that_resolves_to_a_private_address(
    serve: Serve, make_upstream: MakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(OK)
    dns = Dns(monkeypatch, "93.184.215.14")
    PUBLIC.guard_endpoint(f"https://{NAME}/v1")
    dns.addresses = (PRIVATE_ADDRESS,)

    with pytest.raises(EndpointRefused):
        ask(make_upstream(QUICK, PUBLIC.guard_address), server)

    assert dns.lookups == 1
    # Without a connection, the error cannot reveal whether the port is open.
    assert server.connections == 0


@pytest.mark.parametrize(
    "addresses", [(PUBLIC_ADDRESS, PRIVATE_ADDRESS), (PRIVATE_ADDRESS, PUBLIC_ADDRESS)], ids=["last", "first"]
)
def test_sends_nothing_to_the_private_one_of_several_addresses(
    serve: Serve, make_upstream: MakeUpstream, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    """At the public one nobody listens: the connection goes on to the next."""
    server = serve(OK)
    dns = Dns(monkeypatch, *addresses)

    with pytest.raises(EndpointRefused):
        ask(make_upstream(QUICK, but_private), server)

    assert dns.lookups >= 1
    assert server.connections == 0
