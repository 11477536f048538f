"""One gateway for all client programs. Its providers are the rehearsal TokenHub and one whose model calls tools."""

from collections.abc import Iterator

import pytest

from tests.e2e.clients.programs import Program
from tests.e2e.clients.relay import Relay
from tests.e2e.clients.tool_provider import ToolProvider
from tests.e2e.conftest import Gateway, deployed
from tests.rehearsal import KEY, RunningTokenHub
from tests.scripted_server import ScriptedServer

# Selects the provider that calls tools.
TOOLS = {"X-Provider-Id": "tools"}


@pytest.fixture(scope="session")
def running_tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as running:
        yield running


@pytest.fixture
def tokenhub(running_tokenhub: RunningTokenHub) -> RunningTokenHub:
    running_tokenhub.reset()
    return running_tokenhub


@pytest.fixture(scope="session")
def tool_server() -> Iterator[ScriptedServer]:
    with ScriptedServer(ToolProvider()) as running:
        yield running


@pytest.fixture
def tool_provider(tool_server: ScriptedServer) -> ToolProvider:
    provider = tool_server.script = ToolProvider()
    return provider


@pytest.fixture(scope="session")
def gateway(running_tokenhub: RunningTokenHub, tool_server: ScriptedServer) -> Iterator[Gateway]:
    with deployed() as running:
        running.register("tokenhub", f"{running_tokenhub.url}/v1", api_key=KEY)
        running.register("tools", tool_server.url)
        yield running


@pytest.fixture(scope="session")
def running_relay(gateway: Gateway) -> Iterator[Relay]:
    with Relay(gateway.system.port) as running:
        yield running


@pytest.fixture
def relay(running_relay: Relay) -> Relay:
    running_relay.sent.clear()
    return running_relay


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, Program]]:
    """Collects the programs that the tests of a module start, by a name that each test chooses."""
    programs: dict[str, Program] = {}
    yield programs
    for program in programs.values():
        program.close()
