"""The TokenHub that the conformance tests run against.

`TOKENHUB_URL` and `TOKENHUB_ADMIN_TOKEN` select a real one. Without them it is the rehearsal TokenHub.
"""

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.conformance.hub import Hub
from tests.conformance.real_hub import RealHub
from tests.conformance.rehearsal_hub import RehearsalHub


def selected_hub() -> Hub:
    url, admin_token = os.environ.get("TOKENHUB_URL"), os.environ.get("TOKENHUB_ADMIN_TOKEN")
    if not url:
        return RehearsalHub()
    if not admin_token:
        pytest.exit("TOKENHUB_ADMIN_TOKEN is not set. Set it, or unset TOKENHUB_URL to test the rehearsal TokenHub.", 2)
    return RealHub(url, admin_token)


@pytest.fixture(scope="session")
def running_hub() -> Iterator[Hub]:
    hub = selected_hub()
    try:
        yield hub
    finally:
        hub.close()


@pytest.fixture
def hub(running_hub: Hub) -> Hub:
    running_hub.prepare()
    return running_hub


@pytest.fixture(scope="session")
def keyless_client(running_hub: Hub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running_hub.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def keyed_client(running_hub: Hub) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {running_hub.key}"}
    with httpx.Client(base_url=running_hub.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def client(hub: Hub, keyed_client: httpx.Client) -> httpx.Client:
    """Sends the key that may use every scope."""
    return keyed_client


@pytest.fixture
def client_without_key(hub: Hub, keyless_client: httpx.Client) -> httpx.Client:
    return keyless_client
