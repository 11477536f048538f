"""The developer's machine: what a web page in the browser can reach, what listens, and who can read the files.

The requests are those that a browser would send for a page: it adds Origin and Sec-Fetch-Site itself, and takes Host
from the page's address, which may be a name that the page's owner has pointed to 127.0.0.1 meanwhile.
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
def of_a_page(request: pytest.FixtureRequest) -> dict[str, str]:
    return dict(request.param)


def rebound(url: str) -> dict[str, str]:
    return REBOUND | {"Host": f"rebound.evil.example.com:{url.rsplit(':', 1)[1]}"}


REGISTRATION = b'{"id": "evil", "endpoint": "http://localhost:1/v1"}'


def test_web_page_cannot_register_or_read(http: httpx.Client, system: LocalSystem, of_a_page: dict[str, str]) -> None:
    for headers in (of_a_page, rebound(system.url)):
        posted = http.post("/api/v1/providers", content=REGISTRATION, headers=headers)
        read = http.get("/api/v1/providers", headers=headers)

        assert posted.status_code in (401, 403)
        assert read.status_code in (401, 403)
        assert "access-control-allow-credentials" not in posted.headers
    assert http.get("/api/v1/providers").json() == []


def test_web_page_cannot_read_or_reset_the_local_aws(system: LocalSystem, of_a_page: dict[str, str]) -> None:
    for headers in (of_a_page, rebound(system.aws_url)):
        answers = [
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

        assert [answer.status_code for answer in answers] == [403] * 4
        assert "access-control-allow-origin" not in answers[2].headers
    assert system.token("admin")  # what a reset would have taken


def test_web_page_cannot_call_or_control_the_rehearsal_tokenhub(
    tokenhub: RunningTokenHub, of_a_page: dict[str, str]
) -> None:
    for headers in (of_a_page, rebound(tokenhub.url)):
        answers = [
            httpx.put(f"{tokenhub.url}/_rehearse", json={"mode": "refuse_key"}, headers=headers),
            httpx.post(f"{tokenhub.url}/_rehearse", content=b"{}", headers=headers),
            httpx.get(f"{tokenhub.url}/v1/models", headers=headers),
        ]

        assert [answer.status_code for answer in answers] == [403] * 3
    assert httpx.get(f"{tokenhub.url}/_rehearse").json()["mode"] == "normal"
    assert tokenhub.requests == []


def test_curl_is_allowed(tokenhub: RunningTokenHub, http: httpx.Client, system: LocalSystem) -> None:
    assert httpx.put(f"{tokenhub.url}/_rehearse", content=b'{"mode": "slow"}').status_code == 200
    assert httpx.get(f"{system.aws_url}/_ministack/health", trust_env=False).status_code == 200
    assert http.get("/api/v1/providers").status_code == 200


def listening(system: LocalSystem) -> list[str]:
    """The addresses that the processes of the system listen on."""
    pids = {line.split()[0] for line in system.processes()} | {str(system.pid)}
    sockets = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split()[3] for line in sockets if set(re.findall(r"pid=(\d+)", line)) & pids]


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss (Linux)")
def test_web_page_cannot_reach_workers_or_inner_ports(
    http: httpx.Client, system: LocalSystem, of_a_page: dict[str, str]
) -> None:
    http.get("/v1/models")  # a worker and its Runtime API

    passed_on = (f":{system.port}", f":{system.tokenhub_port}")  # the front, and what a TokenHub answers itself
    doors = [address for address in listening(system) if not address.endswith(passed_on)]

    assert len(doors) > 1
    for door in doors:
        for headers in (of_a_page, rebound(f"http://{door}")):
            next_event = f"http://{door}/2018-06-01/runtime/invocation/next"
            assert httpx.get(next_event, headers=headers, timeout=5, trust_env=False).status_code == 403, door


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss (Linux)")
def test_listens_only_on_loopback_and_the_docker_bridge(http: httpx.Client, system: LocalSystem) -> None:
    http.get("/v1/models")  # a worker and its Runtime API

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
        with suppress(FileNotFoundError):  # a snapshot that the next one has replaced
            modes[str(path)] = path.lstat().st_mode
    open_to_others = [path for path, mode in modes.items() if not stat.S_ISLNK(mode) and mode & 0o077]

    assert len(modes) > 10
    assert open_to_others == []
    assert stat.S_IMODE(system.state.stat().st_mode) == 0o700
