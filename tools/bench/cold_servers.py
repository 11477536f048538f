"""Local servers for `make bench BENCH=cold`: an AWS with one provider, the provider, and a Lambda Runtime API."""

import json
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STREAM = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": null}]}\n\ndata: [DONE]\n\n'
TIME = {"S": "2026-11-01T00:00:00.000000Z"}
HEARTBEAT = {"M": {"enabled": {"BOOL": False}, "model": {"NULL": True}, "max_tokens": {"N": "16"}}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Writes nothing between the rows of the table."""

    def respond(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"]))


def aws_handler(provider_url: str) -> type[_Handler]:
    """Returns the handler of an AWS with one provider at this URL."""

    class Aws(_Handler):
        def do_POST(self) -> None:
            operation = self.headers.get("x-amz-target", "").rpartition(".")[2]
            body = json.dumps(_aws_response(operation, json.loads(self.body()), provider_url)).encode()
            # boto3 checks this sum in DynamoDB's responses.
            self.respond(body, Content_Type="application/x-amz-json-1.0", X_Amz_Crc32=str(zlib.crc32(body)))

    return Aws


def _aws_response(operation: str, request: dict[str, Any], provider_url: str) -> dict[str, Any]:
    match operation:
        case "GetItem" if request["Key"]["id"]["S"] == "#registry":
            return {"Item": {"id": {"S": "#registry"}, "default_id": {"S": "bench"}, "providers": {"N": "1"}}}
        case "GetItem":
            texts = {name: {"S": "bench"} for name in ("id", "name", "type", "description", "version", "revision")}
            times = {"created_at": TIME, "updated_at": TIME}
            fields = {"endpoint": {"S": f"{provider_url}/v1"}, "key_ciphertext": {"B": "YWJj"}, "heartbeat": HEARTBEAT}
            return {"Item": texts | times | fields}
        case "Decrypt":
            return {"Plaintext": b64encode(b"sk-bench-0123456789").decode(), "KeyId": "key"}
        case "GetSecretValue":
            return {"SecretString": f"{request['SecretId']}-token"}
    return {"Items": [], "Count": 0, "ScannedCount": 0}


class Provider(_Handler):
    """Answers each request with a short stream."""

    def do_POST(self) -> None:
        self.body()
        self.respond(STREAM, Content_Type="text/event-stream")


def runtime_handler(next_event: Callable[[], bytes | None], on_answer: Callable[[], None]) -> type[_Handler]:
    """Returns the handler of a Runtime API.

    `next_event` returns the event for each `/next`, or None to drop the request. `on_answer` is called at the first
    byte of each answer.
    """

    class Runtime(_Handler):
        def do_GET(self) -> None:
            event = next_event()
            if event is None:
                return
            self.respond(
                event,
                Content_Type="application/json",
                Lambda_Runtime_Aws_Request_Id="id",
                Lambda_Runtime_Invocation_Id="id",
                Lambda_Runtime_Deadline_Ms=str(int(time.time() * 1000) + 60_000),
                Lambda_Runtime_Invoked_Function_Arn="arn",
            )

        def do_POST(self) -> None:
            on_answer()
            if "content-length" in self.headers:
                self.body()
            else:
                while self.rfile.readline().strip() != b"0":
                    pass
                while self.rfile.readline().strip():
                    pass
            self.respond(b"", status=202)

    return Runtime


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Runs a server on loopback and yields its host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
