"""One deployed local system for a module, and providers made of raw sockets behind it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.local_system import LocalSystem

SDK_TIMEOUT_S = 30.0  # nothing may hang so long: the SDK's own limit is then what is seen


class Gateway:
    """A running system with its two tokens, and no provider but those that a test registers."""

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
        """A provider that no heartbeat disturbs."""
        body = {"id": provider, "endpoint": endpoint, "heartbeat": {"enabled": False}} | more
        answer = self._admin.post("/api/v1/providers", json=body)
        assert answer.status_code in (200, 201), answer.text

    def client(self, **headers: str) -> httpx.Client:
        """A plain client with the client token."""
        own = {"Authorization": f"Bearer {self.token}"}
        limits = httpx.Limits(max_connections=64)
        return httpx.Client(
            base_url=self.url, headers=own | headers, timeout=SDK_TIMEOUT_S, trust_env=False, limits=limits
        )

    def close(self) -> None:
        self._admin.close()


@pytest.fixture(scope="module")
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """The module's constant PARAMETERS are parameters of the template, as `make dev` takes them."""
    chosen = getattr(request.module, "PARAMETERS", "")
    with LocalSystem(environ={"TOKENHUB": "off", "PARAMETERS": chosen}) as system:
        running = Gateway(system)
        try:
            yield running
        finally:
            running.close()
