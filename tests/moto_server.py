"""Serves moto's account over HTTP, for code that calls AWS without botocore's clients."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from botocore.awsrequest import AWSRequest
from moto.core.models import botocore_stubber

from tests.conftest import REGION


@dataclass(frozen=True)
class MotoServer:
    """A running server. `refused` has the operations that it answers with an error, and the codes."""

    url: str
    refused: dict[str, str] = field(default_factory=dict)


class _Handler(BaseHTTPRequestHandler):
    """Passes each request to the service in its signature, as botocore's event `before-send` does."""

    refused: dict[str, str]

    def do_POST(self) -> None:
        # The credential is KEY/DATE/REGION/SERVICE/aws4_request.
        service = self.headers["authorization"].split("/")[3]
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = dict(self.headers) | {"Host": f"{service}.{REGION}.amazonaws.com"}
        code = self.refused.get(self.headers["x-amz-target"].partition(".")[2])
        if code is not None:
            self._respond(400, json.dumps({"__type": code}).encode())
            return
        request = AWSRequest("POST", f"https://{service}.{REGION}.amazonaws.com/", headers, body).prepare()
        response: Any = botocore_stubber("before-send", request)
        self._respond(response.status_code, response.content)

    def _respond(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Writes nothing to the tests' output."""


@contextmanager
def moto_server() -> Iterator[MotoServer]:
    """Yields a server for the moto account that is active in this process."""
    refused: dict[str, str] = {}
    handler = type("Handler", (_Handler,), {"refused": refused})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield MotoServer(f"http://127.0.0.1:{server.server_port}", refused)
    finally:
        server.shutdown()
        server.server_close()
