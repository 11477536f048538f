"""One deployed local system per module, to which tests register scripted providers."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.deployed_system import DeployedSystem
from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub

# Longer than any limit of the gateway, so that a hang shows as the SDK's timeout.
SDK_TIMEOUT_S = 30.0


class Gateway:
    """A running system, its client token, and no provider except those that a test registers."""

    def __init__(self, system: LocalSystem) -> None:
        self.system = system
        self.url = system.url
        self.token = system.token("client")
        self._admin = httpx.Client(
            base_url=system.url,
            headers={"Authorization": f"Bearer {system.token('admin')}"},
            timeout=SDK_TIMEOUT_S,
            trust_env=False,
        )

    def register(self, provider: str, endpoint: str, **more: object) -> None:
        """Registers a provider without heartbeats."""
        body = {"id": provider, "endpoint": endpoint, "heartbeat": {"enabled": False}} | more
        answer = self._admin.post("/api/v1/providers", json=body)
        assert answer.status_code in (200, 201), answer.text

    def client(self, **headers: str) -> httpx.Client:
        """Returns an HTTP client that sends the client token."""
        authorization = {"Authorization": f"Bearer {self.token}"}
        limits = httpx.Limits(max_connections=64)
        return httpx.Client(
            base_url=self.url, headers=authorization | headers, timeout=SDK_TIMEOUT_S, trust_env=False, limits=limits
        )

    def close(self) -> None:
        self._admin.close()


@contextmanager
def deployed(parameters: str = "") -> Iterator[Gateway]:
    """Deploys a system with these template parameters, in the format of `make dev`."""
    start = LocalSystem if parameters else DeployedSystem
    with start(environ={"TOKENHUB": "off", "PARAMETERS": parameters}) as system:
        running = Gateway(system)
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """Deploys with the template parameters in the module's PARAMETERS."""
    with deployed(getattr(request.module, "PARAMETERS", "")) as running:
        yield running


@pytest.fixture(scope="module")
def strict_tokenhub() -> Iterator[RunningTokenHub]:
    """Starts a rehearsal TokenHub that accepts only valid keys."""
    with RunningTokenHub(strict_keys=True) as running:
        yield running


@pytest.fixture
def tokenhub(strict_tokenhub: RunningTokenHub) -> RunningTokenHub:
    """Returns the rehearsal TokenHub of the module in its normal mode."""
    strict_tokenhub.reset()
    return strict_tokenhub
