"""The smoke test itself: it must see what is wrong, and put the token nowhere."""

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


class Wrong(BaseHTTPRequestHandler):
    """A gateway that answers whatever is asked with 200, all at once."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps(REHEARSAL if self.path == "/v1/models" else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the names are http.server's

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def wrong() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Wrong) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def smoke(**environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.smoke"]
    own = {"PATH": os.environ["PATH"]} | environ
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False, timeout=60)


def test_a_gateway_that_does_nothing_right_fails_nearly_every_check(wrong: str) -> None:
    ended = smoke(URL=wrong, TOKEN=TOKEN, CLIENT_TOKEN="another")
    marks = {
        line.split(" | ")[1]: line.split(" | ")[0].lstrip("| ") for line in ended.stdout.splitlines() if "| " in line
    }

    fine = {"models", "trailers", "long name of a model", "client that leaves"}  # a bare 200 is right there
    assert {name for name, mark in marks.items() if mark == "ok"} <= fine
    assert len([mark for mark in marks.values() if mark == "FAILED"]) >= len(CHECKS) - len(fine) - 1
    assert ended.returncode == 1


def test_a_provider_that_stays_is_named(wrong: str) -> None:
    first, second = (smoke(URL=wrong, TOKEN=TOKEN, PROVIDER_ENDPOINT="https://tokenhub.example/v1") for _ in range(2))

    told = [
        re.findall(r"^The provider (smoke-test-\w+) may still be registered", ended.stderr, re.MULTILINE)
        for ended in (first, second)
    ]
    assert [len(names) for names in told] == [1, 1]
    assert told[0] != told[1]  # a name of its own, so that it replaces none
    assert "delete it yourself: 200, 2 bytes: {}" in first.stderr


def test_no_token_is_printed(wrong: str) -> None:
    ended = smoke(URL=wrong, TOKEN=TOKEN, CLIENT_TOKEN="another-token", PROVIDER_KEY="tokenhub_secret")

    assert TOKEN not in ended.stdout + ended.stderr
    assert "another-token" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("given", [{}, {"URL": "http://127.0.0.1:1"}, {"TOKEN": TOKEN}])
def test_without_an_address_and_a_token_one_sentence_says_so(given: dict[str, str]) -> None:
    ended = smoke(**given)

    assert ended.returncode == 1
    assert ended.stderr.startswith("URL and TOKEN (the admin's) must be set.")


def test_a_gateway_that_is_not_there_is_one_sentence() -> None:
    ended = smoke(URL="http://127.0.0.1:1", TOKEN=TOKEN)

    assert ended.stderr.startswith("http://127.0.0.1:1 could not be checked:")
    assert "Traceback" not in ended.stderr


def test_every_check_says_what_it_expects() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.expected for check in CHECKS)
