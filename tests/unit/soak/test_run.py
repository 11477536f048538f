"""The soak run reports every error of its parts, because a run without problems passes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.soak.clients import Client
from tests.soak.run import run_parts


def ignore(_stopping: threading.Event) -> None:
    """Stops at once."""


def test_reports_a_part_that_raises() -> None:
    def fail(_stopping: threading.Event) -> None:
        raise KeyError("error")

    problems = run_parts({"client-1": fail, "client-2": ignore}, lambda: None)

    assert problems == ["client-1 raised KeyError: 'error'"]


def test_reports_a_part_that_does_not_stop() -> None:
    released = threading.Event()

    def wait(_stopping: threading.Event) -> None:
        released.wait(60)

    problems = run_parts({"client-1": wait, "client-2": ignore}, lambda: None, within_s=1)
    released.set()

    assert problems == ["client-1 did not stop within 1 s"]


def test_stops_every_part_after_an_error_of_meanwhile() -> None:
    stopped: list[str] = []

    def run(stopping: threading.Event) -> None:
        stopping.wait(60)
        stopped.append("stopped")

    def fail() -> None:
        raise RuntimeError("the system ended")

    with pytest.raises(RuntimeError, match=r"^the system ended$"):
        run_parts({"client-1": run, "client-2": run}, fail)
    assert stopped == ["stopped"] * 2


@contextmanager
def gateway(body: bytes) -> Iterator[str]:
    """Answers every request with 500 and `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("body", "error"),
    [(b'{"message": "no error"}', "KeyError: 'error'"), (b"[]", "TypeError"), (b"<html>", "JSONDecodeError")],
)
def test_client_reports_malformed_answers_and_continues(body: bytes, error: str) -> None:
    with gateway(body) as url:
        client = Client(3, url, "http://127.0.0.1:9/v1", "token")

        def wait() -> None:
            end = time.monotonic() + 30
            while len(client.violations) < 3:
                assert time.monotonic() < end
                time.sleep(0.05)

        problems = run_parts({client.provider: client.run}, wait)

    assert problems == []
    assert len(client.violations) >= 3
    assert all(
        violation.startswith(f"client-3: an answer that cannot be read: {error}") for violation in client.violations
    )
