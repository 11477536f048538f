"""Serves moto's account over HTTP, for code that calls AWS without botocore's clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from botocore.awsrequest import AWSRequest
from moto.core.models import botocore_stubber

from tests.conftest import REGION


class _Handler(BaseHTTPRequestHandler):
    """Passes each request to the service in its signature, as botocore's event `before-send` does."""

    def do_POST(self) -> None:
        # The credential is KEY/DATE/REGION/SERVICE/aws4_request.
        service = self.headers["authorization"].split("/")[3]
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = dict(self.headers) | {"Host": f"{service}.{REGION}.amazonaws.com"}
        request = AWSRequest("POST", f"https://{service}.{REGION}.amazonaws.com/", headers, body).prepare()
        response: Any = botocore_stubber("before-send", request)
        content = response.content
        self.send_response(response.status_code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Writes nothing to the tests' output."""


@contextmanager
def moto_server() -> Iterator[str]:
    """Yields the URL of a server for the moto account that is active in this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
