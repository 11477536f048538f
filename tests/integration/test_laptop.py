"""The developer's machine: web pages reach nothing, servers listen on loopback only, other users read no file.

The requests have the headers that a browser sends for a page. The browser itself sets Origin and Sec-Fetch-Site. It
takes Host from the page's address: after DNS rebinding, that is the page's host name although it resolves to 127.0.0.1.
"""

import re
import shutil
import stat
import subprocess
from contextlib import suppress

import httpx
import pytest

from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub
from tools.local.sam_local import docker_bridge

EVIL = "https://evil.example.com"
FORM = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Content-Type": "text/plain"}
PAGE_REQUESTS = {
    "a form or a simple POST": FORM,
    "fetch from another site": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    "fetch from another local port": {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    "a sandboxed frame": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "an image or a link": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
}
REBOUND = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(params=list(PAGE_REQUESTS.values()), ids=list(PAGE_REQUESTS))
def from_page(request: pytest.FixtureRequest) -> dict[str, str]:
    return dict(request.param)


def rebound(url: str) -> dict[str, str]:
    return REBOUND | {"Host": f"rebound.evil.example.com:{url.rsplit(':', 1)[1]}"}


REGISTRATION = b'{"id": "evil", "endpoint": "http://localhost:1/v1"}'


def test_web_page_cannot_register_or_read(http: httpx.Client, system: LocalSystem, from_page: dict[str, str]) -> None:
    for headers in (from_page, rebound(system.url)):
        posted = http.post("/api/v1/providers", content=REGISTRATION, headers=headers)
        read = http.get("/api/v1/providers", headers=headers)

        assert posted.status_code in (401, 403)
        assert read.status_code in (401, 403)
        assert "access-control-allow-credentials" not in posted.headers
    assert http.get("/api/v1/providers").json() == []


def test_web_page_cannot_read_or_reset_the_local_aws(system: LocalSystem, from_page: dict[str, str]) -> None:
    for headers in (from_page, rebound(system.aws_url)):
        responses = [
            httpx.post(f"{system.aws_url}/_ministack/reset", headers=headers, trust_env=False),
            httpx.get(f"{system.aws_url}/_ministack/health", headers=headers, trust_env=False),
            httpx.options(f"{system.aws_url}/", headers=headers, trust_env=False),
            httpx.post(
                f"{system.aws_url}/",
                content=b"{}",
                headers=headers | {"X-Amz-Target": "secretsmanager.ListSecrets"},
                trust_env=False,
            ),
        ]

        assert [response.status_code for response in responses] == [403] * 4
        assert "access-control-allow-origin" not in responses[2].headers
    # A reset would have deleted the token.
    assert system.token("admin")


def test_web_page_cannot_call_or_control_the_rehearsal_tokenhub(
    tokenhub: RunningTokenHub, from_page: dict[str, str]
) -> None:
    for headers in (from_page, rebound(tokenhub.url)):
        responses = [
            httpx.put(f"{tokenhub.url}/_rehearse", json={"mode": "refuse_key"}, headers=headers),
            httpx.post(f"{tokenhub.url}/_rehearse", content=b"{}", headers=headers),
            httpx.get(f"{tokenhub.url}/v1/models", headers=headers),
        ]

        assert [response.status_code for response in responses] == [403] * 3
    assert httpx.get(f"{tokenhub.url}/_rehearse").json()["mode"] == "normal"
    assert tokenhub.requests == []


def test_curl_is_allowed(tokenhub: RunningTokenHub, http: httpx.Client, system: LocalSystem) -> None:
    assert httpx.put(f"{tokenhub.url}/_rehearse", content=b'{"mode": "slow"}').status_code == 200
    assert httpx.get(f"{system.aws_url}/_ministack/health", trust_env=False).status_code == 200
    assert http.get("/api/v1/providers").status_code == 200


def listening(system: LocalSystem) -> list[str]:
    """Returns the addresses on which the system's processes listen."""
    pids = {line.split()[0] for line in system.processes()} | {str(system.pid)}
    sockets = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split()[3] for line in sockets if set(re.findall(r"pid=(\d+)", line)) & pids]


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss (Linux)")
def test_web_page_cannot_reach_workers_or_inner_ports(
    http: httpx.Client, system: LocalSystem, from_page: dict[str, str]
) -> None:
    # Starts a worker and its Runtime API.
    http.get("/v1/models")

    # Other tests cover the API server and the port on which a TokenHub itself responds.
    public_ports = (f":{system.port}", f":{system.tokenhub_port}")
    addresses = [address for address in listening(system) if not address.endswith(public_ports)]

    assert len(addresses) > 1
    for address in addresses:
        for headers in (from_page, rebound(f"http://{address}")):
            next_event = f"http://{address}/2018-06-01/runtime/invocation/next"
            assert httpx.get(next_event, headers=headers, timeout=5, trust_env=False).status_code == 403, address


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss (Linux)")
def test_listens_only_on_loopback_and_the_docker_bridge(http: httpx.Client, system: LocalSystem) -> None:
    # Starts a worker and its Runtime API.
    http.get("/v1/models")

    addresses = listening(system)

    ports = {int(address.rpartition(":")[2]) for address in addresses}
    assert {system.port, system.aws_port} <= ports
    assert len(ports) > 2
    docker = docker_bridge.address()
    allowed = {"127.0.0.1", "[::1]"} | ({str(docker.ip)} if docker else set())
    assert not [address for address in addresses if address.rpartition(":")[0] not in allowed]
    front = {address for address in addresses if address.endswith(f":{system.port}")}
    assert front <= {f"127.0.0.1:{system.port}", f"[::1]:{system.port}"}


def test_other_users_cannot_read_the_state(http: httpx.Client, system: LocalSystem) -> None:
    modes = {}
    for path in [system.state, *system.state.rglob("*")]:
        # The next snapshot may have replaced this one.
        with suppress(FileNotFoundError):
            modes[str(path)] = path.lstat().st_mode
    open_to_others = [path for path, mode in modes.items() if not stat.S_ISLNK(mode) and mode & 0o077]

    assert len(modes) > 10
    assert open_to_others == []
    assert stat.S_IMODE(system.state.stat().st_mode) == 0o700
