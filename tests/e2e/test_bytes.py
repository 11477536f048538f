"""Relays a thousand generated streams byte for byte, up to the end mark, which always has the same form."""

from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.e2e.conftest import Gateway
from tests.e2e.whole_streams import Whole, whole_streams
from tests.scripted_server import ScriptedServer, always

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLES = 1000
# Shrinking against a whole system would take hours.
PHASES = [phase for phase in Phase if phase is not Phase.shrink]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedServer]:
    with ScriptedServer(always()) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: Gateway, upstream: ScriptedServer) -> Iterator[httpx.Client]:
    gateway.register("raw", upstream.url)
    with gateway.client() as client:
        yield client


def body(whole: Whole) -> dict[str, object]:
    asked = {"model": "any", "messages": [{"role": "user", "content": "a"}], "stream": True, "n": whole.choices}
    return {"request": asked} if whole.path == "/v1/chat" else asked


compared: list[int] = []


@settings(max_examples=EXAMPLES, deadline=None, database=None, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(whole=whole_streams())
def test_returns_whole_streams_unchanged(whole: Whole, client: httpx.Client, upstream: ScriptedServer) -> None:
    upstream.script = always(*whole.response)

    with client.stream("POST", whole.path, json=body(whole)) as response:
        received = b"".join(response.iter_raw())

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"
    assert received in whole.expected
    compared.append(len(received))


def test_tested_a_thousand_streams_of_many_lengths() -> None:
    print(f"{len(compared)} streams, {sum(compared)} bytes, the longest of {max(compared)}")
    assert len(compared) >= EXAMPLES
    assert len(set(compared)) > EXAMPLES / 10
