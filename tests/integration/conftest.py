"""One deployed local system for the suite, with role policies enforced, and a separate rehearsal TokenHub."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub
from tests.template import ROOT

# The allowed origin of a web page.
PAGE = "https://chat.example.com"


@pytest.fixture(scope="session")
def system() -> Iterator[LocalSystem]:
    with LocalSystem(
        environ={"TOKENHUB": "off", "AUTH": "true", "PARAMETERS": f"AllowedOrigins={PAGE},http://localhost:3000"}
    ) as running:
        yield running


@pytest.fixture(scope="session")
def client_of(system: LocalSystem) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=system.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def http(client_of: httpx.Client) -> Iterator[httpx.Client]:
    """A client for an empty registry. The local system adds the admin token to its requests."""
    yield client_of
    for provider in sorted(client_of.get("/api/v1/providers").json(), key=lambda provider: provider["default"]):
        client_of.delete(f"/api/v1/providers/{provider['id']}").raise_for_status()


Register = Callable[..., httpx.Response]


@pytest.fixture
def register(http: httpx.Client, tokenhub: RunningTokenHub) -> Register:
    def post(**changes: Any) -> httpx.Response:
        body: dict[str, Any] = json.loads(json.loads((ROOT / "events/register.json").read_text())["body"])
        return http.post("/api/v1/providers", json=body | {"endpoint": f"{tokenhub.url}/v1"} | changes)

    return post
