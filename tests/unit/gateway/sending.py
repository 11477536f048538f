"""Sends requests through an Upstream to a scripted server."""

from pathlib import Path

import httpx

from gateway.proxy.request import ForwardRequest
from gateway.proxy.settings import Limits
from gateway.proxy.upstream import Target, Upstream, UpstreamResponse
from tests.scripted_server import ScriptedServer
from tests.unit.gateway.builders import a_request
from tests.unit.gateway.certificates import client_context
from tests.unit.gateway.conftest import QUICK, MakeUpstream

STREAMED = a_request(stream=True)


def send(
    upstream: Upstream,
    server: ScriptedServer,
    request: ForwardRequest | None = None,
    *,
    within: float = 30,
    **target: str,
) -> UpstreamResponse:
    return upstream.forward(request or a_request(), Target("main", server.url, **target), within=within)


def read(answer: UpstreamResponse) -> bytes:
    return b"".join(answer.chunks)


def trusting(make_upstream: MakeUpstream, certificate: Path, limits: Limits = QUICK) -> Upstream:
    context = client_context(certificate)
    return make_upstream(limits, transport=lambda: httpx.HTTPTransport(verify=context, retries=1))


def assert_released(upstream: Upstream) -> None:
    transport = upstream._transport
    assert isinstance(transport, httpx.HTTPTransport)
    assert [connection for connection in transport._pool.connections if not connection.is_idle()] == []
