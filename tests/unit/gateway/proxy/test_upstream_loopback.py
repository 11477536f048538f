"""A loopback endpoint under `sam local`, where the container's loopback is not the host's."""

from pathlib import Path

import httpx
import pytest

from gateway.core.errors import EndpointRefused
from gateway.proxy.upstream import Target
from gateway.registry.endpoint import EndpointPolicy, is_loopback
from tests.unit.gateway.builders import a_request
from tests.unit.gateway.certificates import client_context, server_context
from tests.unit.gateway.conftest import QUICK, MakeUpstream, Serve
from tests.unit.gateway.sending import read
from tests.unit.gateway.servers import Server, always, answer

OK = always(answer(body=b"{}"))


def port(server: Server) -> int:
    return httpx.URL(server.url).port or 0


@pytest.mark.parametrize("said", ["127.0.0.9", "localhost", "[::1]"])
def test_it_leads_to_the_host_and_keeps_the_name_that_it_says(
    serve: Serve, make_upstream: MakeUpstream, said: str
) -> None:
    server = serve(OK)
    upstream = make_upstream(loopback_host="127.0.0.1")

    got = upstream.forward(a_request(), Target("main", f"http://{said}:{port(server)}/v1"), within=5)

    assert read(got) == b"{}"
    assert server.received[0].headers["host"] == f"{said}:{port(server)}"
    assert server.received[0].target == "/v1/chat/completions"


def test_its_certificate_is_for_the_name_that_it_says(
    serve: Serve, make_upstream: MakeUpstream, certificate: Path
) -> None:
    server = serve(OK, tls=server_context(certificate))
    context = client_context(certificate)
    upstream = make_upstream(
        QUICK, loopback_host="localhost", transport=lambda: httpx.HTTPTransport(verify=context, retries=1)
    )

    got = upstream.forward(a_request(), Target("main", f"https://127.0.0.1:{port(server)}/v1"), within=5)

    assert read(got) == b"{}"


def test_any_other_endpoint_is_left_alone(make_upstream: MakeUpstream) -> None:
    seen: list[str] = []

    def answer_all(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, content=b"{}")

    upstream = make_upstream(loopback_host="172.17.0.1", transport=lambda: httpx.MockTransport(answer_all))
    upstream.forward(a_request(), Target("main", "https://tokenhub.example.com/v1"), within=5).chunks.close()

    assert seen == ["https://tokenhub.example.com/v1/chat/completions"]


def test_the_address_that_it_leads_to_is_guarded_as_any_other(serve: Serve, make_upstream: MakeUpstream) -> None:
    public = EndpointPolicy(private_networks=False, loopback=False)
    upstream = make_upstream(QUICK, public.guard_address, loopback_host="127.0.0.1")

    with pytest.raises(EndpointRefused):
        upstream.forward(a_request(), Target("main", f"http://localhost:{port(serve(OK))}/v1"), within=5)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("localhost.", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("172.17.0.1", False),
        ("localhost.example.com", False),
        ("tokenhub.example.com", False),
    ],
)
def test_loopback_is_known_by_address_and_by_name(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
