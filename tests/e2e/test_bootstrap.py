"""bootstrap.local.example as an operator uses it: a copy with the address of a TokenHub."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deployed_system import DeployedSystem
from tests.e2e.bootstrap import KEY, filled_in, run
from tests.local_system import LocalSystem, free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AWKWARD = r"""q"uo'te\back$dollar`tick`{"a":1}%s"""
TOOLS = ("sh", "printenv", "date", "sleep", "cat")


@pytest.fixture(scope="module")
def system() -> Iterator[LocalSystem]:
    with DeployedSystem() as running:
        yield running


@pytest.fixture
def http(system: LocalSystem) -> Iterator[httpx.Client]:
    """Yields an admin client of an empty registry, with a healthy TokenHub."""
    with httpx.Client(base_url=system.url, timeout=30, trust_env=False) as client:
        httpx.delete(f"{system.tokenhub_url}/_rehearse").raise_for_status()
        client.delete("/api/v1/providers/tokenhub")
        yield client


def test_registers_waits_and_can_run_again(system: LocalSystem, http: httpx.Client, tmp_path: Path) -> None:
    script = filled_in(tmp_path, system)

    first = run(script, system.url)
    before = http.get("/api/v1/providers/tokenhub").json()
    again = run(script, f"{system.url}/", GATEWAY_TOKEN=system.token("admin"))

    assert (first.returncode, first.stdout) == (0, "tokenhub is healthy.\n"), first.stderr
    assert (again.returncode, again.stdout) == (0, "tokenhub is healthy.\n"), again.stderr
    after = http.get("/api/v1/providers/tokenhub").json()
    assert after["created_at"] == before["created_at"]
    assert after["key_fingerprint"] == before["key_fingerprint"]


def test_reports_a_rejected_key_and_accepts_the_right_one_after_it(
    system: LocalSystem, http: httpx.Client, tmp_path: Path
) -> None:
    script = filled_in(tmp_path, system)
    httpx.put(f"{system.tokenhub_url}/_rehearse", json={"mode": "refuse_key"}).raise_for_status()

    wrong = run(script, system.url, key="tokenhub_wrong")

    assert wrong.returncode == 1
    assert "tokenhub failed: " in wrong.stderr
    assert "401" in wrong.stderr
    assert "tokenhub_wrong" not in wrong.stderr

    httpx.delete(f"{system.tokenhub_url}/_rehearse").raise_for_status()
    assert run(script, system.url).returncode == 0


def test_ignores_a_failure_from_before_the_registration(
    system: LocalSystem, http: httpx.Client, tmp_path: Path
) -> None:
    """An unchanged registration has no effect, so the status stays `failed` until the next heartbeat."""
    script = filled_in(tmp_path, system)
    httpx.put(f"{system.tokenhub_url}/_rehearse", json={"mode": "refuse_key"}).raise_for_status()
    assert run(script, system.url).returncode == 1
    httpx.delete(f"{system.tokenhub_url}/_rehearse").raise_for_status()

    assert run(script, system.url).returncode == 0


def test_sends_a_key_with_special_characters_unchanged(system: LocalSystem, http: httpx.Client, tmp_path: Path) -> None:
    script = filled_in(tmp_path, system)
    run(script, system.url, key=AWKWARD, WAIT_SECONDS="1")
    by_bootstrap = http.get("/api/v1/providers/tokenhub").json()["key_fingerprint"]
    again = {"id": "tokenhub", "endpoint": f"{system.tokenhub_url}/v1", "api_key": AWKWARD}

    assert http.post("/api/v1/providers", json=again).json()["key_fingerprint"] == by_bootstrap


def test_no_program_argument_contains_the_key_or_token(system: LocalSystem, http: httpx.Client, tmp_path: Path) -> None:
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for command in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(command.read_text(errors="replace"))
                except OSError:
                    continue
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        token = system.token("admin")
        assert run(filled_in(tmp_path, system), system.url, GATEWAY_TOKEN=token).returncode == 0
    finally:
        done.set()
        watcher.join()
    assert any("api/v1/providers" in command and "curl" in command for command in seen)
    assert not [command for command in seen if KEY in command or token in command]


def test_reports_failures_with_a_reason_and_an_exit_code(
    system: LocalSystem, http: httpx.Client, tmp_path: Path
) -> None:
    script = filled_in(tmp_path, system)
    [unused_port] = free_ports(1)

    no_key = run(script, system.url, key=None)
    no_gateway = run(script, f"http://localhost:{unused_port}")
    no_admin = run(script, system.url, GATEWAY_TOKEN=system.token("client"))

    assert (no_key.returncode, "TOKENHUB_API_KEY is not set" in no_key.stderr) == (2, True)
    assert (no_gateway.returncode, "could not be registered" in no_gateway.stderr) == (1, True)
    assert no_admin.returncode == 1
    assert "Use the admin token" in no_admin.stderr


@pytest.mark.parametrize("tool", ["curl", "jq"])
def test_names_a_missing_tool(system: LocalSystem, tmp_path: Path, tool: str) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in {*TOOLS, "curl", "jq"} - {tool}:
        (tools / name).symlink_to(shutil.which(name) or name)

    done = run(filled_in(tmp_path, system), system.url, PATH=str(tools))

    assert (done.returncode, f"{tool} is not installed" in done.stderr) == (2, True)
