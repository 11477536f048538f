"""A loopback endpoint under `sam local`, where the container's loopback is not the host's."""

from pathlib import Path

import httpx
import pytest

from gateway.core.errors import EndpointRefused
from gateway.proxy.upstream import Target
from gateway.registry.endpoint import EndpointPolicy, is_loopback
from tests.scripted_server import ScriptedServer, always, answer
from tests.unit.gateway.builders import a_request
from tests.unit.gateway.certificates import client_context, server_context
from tests.unit.gateway.conftest import QUICK, MakeUpstream, Serve
from tests.unit.gateway.sending import read

OK = always(answer(body=b"{}"))


def port(server: ScriptedServer) -> int:
    return httpx.URL(server.url).port or 0


@pytest.mark.parametrize("host", ["127.0.0.9", "localhost", "[::1]"])
def test_calls_the_host_with_the_original_host_header(serve: Serve, make_upstream: MakeUpstream, host: str) -> None:
    server = serve(OK)
    upstream = make_upstream(loopback_host="127.0.0.1")

    response = upstream.forward(a_request(), Target("main", f"http://{host}:{port(server)}/v1"), within=30)

    assert read(response) == b"{}"
    assert server.requests[0].headers["host"] == f"{host}:{port(server)}"
    assert server.requests[0].target == "/v1/chat/completions"


def test_verifies_the_certificate_for_the_original_name(
    serve: Serve, make_upstream: MakeUpstream, certificate: Path
) -> None:
    server = serve(OK, tls=server_context(certificate))
    context = client_context(certificate)
    upstream = make_upstream(
        QUICK, loopback_host="localhost", transport=lambda: httpx.HTTPTransport(verify=context, retries=1)
    )

    response = upstream.forward(a_request(), Target("main", f"https://127.0.0.1:{port(server)}/v1"), within=30)

    assert read(response) == b"{}"


def test_leaves_other_endpoints_unchanged(make_upstream: MakeUpstream) -> None:
    seen: list[str] = []

    def answer_all(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, content=b"{}")

    upstream = make_upstream(loopback_host="172.17.0.1", transport=lambda: httpx.MockTransport(answer_all))
    upstream.forward(a_request(), Target("main", "https://tokenhub.example.com/v1"), within=30).chunks.close()

    assert seen == ["https://tokenhub.example.com/v1/chat/completions"]


def test_guards_the_address_of_the_host(serve: Serve, make_upstream: MakeUpstream) -> None:
    public = EndpointPolicy(private_networks=False, loopback=False)
    upstream = make_upstream(QUICK, public.guard_address, loopback_host="127.0.0.1")

    with pytest.raises(EndpointRefused):
        upstream.forward(a_request(), Target("main", f"http://localhost:{port(serve(OK))}/v1"), within=30)


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
def test_recognizes_loopback_by_address_and_name(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
