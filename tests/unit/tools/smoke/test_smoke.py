"""The smoke test as a process: it detects a faulty gateway and never prints a token."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.template import ROOT
from tools.smoke.__main__ import CHECKS

TOKEN = "admin-token-for-the-smoke-test"
REHEARSAL = {"data": [{"id": "echo", "owned_by": "rehearsal"}]}


class FaultyGateway(BaseHTTPRequestHandler):
    """Responds 200 to every request, in one piece."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps(REHEARSAL if self.path == "/v1/models" else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # The names are http.server's.
    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Suppresses the log."""


@pytest.fixture
def faulty_gateway() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), FaultyGateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def smoke(**environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.smoke"]
    own = {"PATH": os.environ["PATH"]} | environ
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False, timeout=60)


def test_faulty_gateway_fails_nearly_every_check(faulty_gateway: str) -> None:
    result = smoke(URL=faulty_gateway, TOKEN=TOKEN, CLIENT_TOKEN="another")
    outcomes = {
        line.split(" | ")[1]: line.split(" | ")[0].lstrip("| ") for line in result.stdout.splitlines() if "| " in line
    }

    # A plain 200 satisfies these checks.
    satisfied = {"models", "trailers", "long model name", "client disconnect"}
    assert {name for name, outcome in outcomes.items() if outcome == "ok"} <= satisfied
    assert len([outcome for outcome in outcomes.values() if outcome == "FAILED"]) >= len(CHECKS) - len(satisfied) - 1
    assert result.returncode == 1


def test_names_a_provider_that_was_not_deleted(faulty_gateway: str) -> None:
    first, second = (
        smoke(URL=faulty_gateway, TOKEN=TOKEN, PROVIDER_ENDPOINT="https://tokenhub.example/v1") for _ in range(2)
    )

    reported = [
        re.findall(r"^The provider (smoke-test-\w+) may still be registered", result.stderr, re.MULTILINE)
        for result in (first, second)
    ]
    assert [len(names) for names in reported] == [1, 1]
    # Each run uses a new id, so that it replaces no existing provider.
    assert reported[0] != reported[1]
    assert "Delete it: 200, 2 bytes: {}" in first.stderr


def test_prints_no_token(faulty_gateway: str) -> None:
    result = smoke(URL=faulty_gateway, TOKEN=TOKEN, CLIENT_TOKEN="another-token", PROVIDER_KEY="tokenhub_secret")

    assert TOKEN not in result.stdout + result.stderr
    assert "another-token" not in result.stdout + result.stderr


@pytest.mark.parametrize("environ", [{}, {"URL": "http://127.0.0.1:1"}, {"TOKEN": TOKEN}])
def test_requires_url_and_token(environ: dict[str, str]) -> None:
    result = smoke(**environ)

    assert result.returncode == 1
    assert result.stderr.startswith("URL or TOKEN is not set.")


def test_reports_an_unreachable_gateway() -> None:
    result = smoke(URL="http://127.0.0.1:1", TOKEN=TOKEN)

    assert result.stderr.startswith("The gateway http://127.0.0.1:1 cannot be tested:")
    assert "Traceback" not in result.stderr


def test_every_check_has_a_unique_name_and_an_expectation() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.expected for check in CHECKS)
