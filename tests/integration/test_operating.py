"""`make health` and `make trace`, as docs/operating.md documents them, on a running system."""

import os
import re
import subprocess

import httpx

from tests.integration.conftest import Register
from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub, wait_until
from tests.template import ROOT

PAGE = (ROOT / "docs/operating.md").read_text()


def make(system: LocalSystem, command: str) -> subprocess.CompletedProcess[str]:
    assert " ".join(command.split()[:3]) in PAGE
    environment = os.environ | {"PORT": str(system.port), "AWS_PORT": str(system.aws_port)}
    return subprocess.run(command.split(), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_make_health_shows_each_provider_and_fails_for_a_failed_one(
    system: LocalSystem, http: httpx.Client, register: Register, tokenhub: RunningTokenHub
) -> None:
    register()
    http.post("/api/v1/providers/tokenhub/heartbeat").raise_for_status()
    healthy = make(system, "make -s health")
    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert re.search(r"^tokenhub +healthy +\d+ \w+ +\d+ \w+ +\d+ ms$", healthy.stdout, re.MULTILINE)

    tokenhub.rehearse("refuse_key")
    http.post("/api/v1/providers/tokenhub/heartbeat").raise_for_status()
    failed = make(system, "make -s health")
    assert failed.returncode != 0
    assert re.search(r"^tokenhub +failed .* HTTP 401: ", failed.stdout, re.MULTILINE)


def test_make_trace_finds_a_request_by_each_of_its_ids(
    system: LocalSystem, http: httpx.Client, register: Register
) -> None:
    register(heartbeat={"enabled": False})
    body = {"messages": [{"role": "user", "content": "a very private question"}]}
    answer = http.post("/v1/chat/completions", json=body, headers={"X-Request-ID": "traced-by-the-caller"})
    ids = (answer.headers["x-request-id"], "traced-by-the-caller", answer.json()["id"])

    # The local system copies the lines of a streaming worker to the log group once a second.
    assert wait_until(lambda: make(system, f"make -s trace ID={ids[0]}").returncode == 0, 30, every=1)
    for each in ids:
        traced = make(system, f"make -s trace ID={each} SINCE=1h")
        assert (traced.returncode, traced.stderr) == (0, "")
        assert traced.stdout.startswith(f"Request {ids[0]}\n")
        assert "/chat/completions, " in traced.stdout
        assert "tokenhub: its response began" in traced.stdout
        assert f"id {ids[2]}" in traced.stdout
        assert "private" not in traced.stdout


def test_make_trace_explains_why_nothing_may_be_found(system: LocalSystem) -> None:
    traced = make(system, "make -s trace ID=nobody")

    assert traced.returncode != 0
    assert traced.stdout.startswith("No log line of the last 24h has the id nobody.\nPossible reasons:\n")
