"""What the gateway keeps over a stop, and over a `kill -9`."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.local_system import LocalSystem, free_ports
from tests.rehearsal import KEY, RunningTokenHub, chat_body, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SNAPSHOT_S = 5


@pytest.fixture
def tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as running:
        yield running


def shown(system: LocalSystem) -> list[dict[str, Any]]:
    return list(httpx.get(f"{system.url}/api/v1/providers", timeout=60, trust_env=False).json())


@pytest.mark.parametrize("ending", ["Ctrl-C", "kill -9"])
def test_providers_statuses_and_keys_survive_a_restart(tmp_path: Path, tokenhub: RunningTokenHub, ending: str) -> None:
    ports = free_ports(3)
    with LocalSystem(tmp_path / "state", ports, environ={"TOKENHUB": "off"}) as system:
        provider = {"id": "tokenhub", "endpoint": f"{tokenhub.url}/v1", "api_key": KEY}
        httpx.post(f"{system.url}/api/v1/providers", json=provider, timeout=30, trust_env=False).raise_for_status()
        assert wait_until(lambda: shown(system)[0]["status"] == "healthy", 60, every=0.25)
        before = shown(system)
        if ending == "kill -9":
            time.sleep(SNAPSHOT_S + 2)
            system.kill()
        else:
            assert system.stop(within_s=10) == 0
        assert system.wait_until_gone(10) == []

    with LocalSystem(tmp_path / "state", ports, environ={"TOKENHUB": "off"}) as system:
        after = shown(system)
        answer = httpx.post(f"{system.url}/v1/chat/completions", json=chat_body("Hello"), trust_env=False, timeout=30)

    compared_fields = ("id", "status", "key_fingerprint", "created_at", "default")
    assert [[provider[name] for name in compared_fields] for provider in after] == [
        [provider[name] for name in compared_fields] for provider in before
    ]
    assert answer.status_code == 200
    assert tokenhub.requests[-1].headers["authorization"] == f"Bearer {KEY}"
