from collections.abc import Iterator

import httpx
import pytest

from tests.rehearsal import KEY, RunningTokenHub


@pytest.fixture(scope="session")
def tokenhub_client(running_tokenhub: RunningTokenHub) -> Iterator[httpx.Client]:
    # Session-wide: creating a client loads the CA certificates, which takes longer than most tests.
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=running_tokenhub.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def keyless_client(running_tokenhub: RunningTokenHub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running_tokenhub.url, timeout=30) as client:
        yield client


@pytest.fixture
def client(tokenhub: RunningTokenHub, tokenhub_client: httpx.Client) -> httpx.Client:
    return tokenhub_client


@pytest.fixture
def client_without_key(tokenhub: RunningTokenHub, keyless_client: httpx.Client) -> httpx.Client:
    return keyless_client
