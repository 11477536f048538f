"""A minimal Lambda service for invocations: an HTTP server on loopback that calls a handler."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class LambdaService:
    """Calls `handler` for every invocation and reports its exception as a FunctionError. `events` lists the events."""

    handler: Callable[[dict[str, Any]], Any]
    status: int = 200
    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, event: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        self.events.append(event)
        try:
            return {}, json.dumps(self.handler(event)).encode()
        # Lambda reports every exception too.
        except Exception as error:  # noqa: BLE001
            description = {"errorMessage": str(error), "errorType": type(error).__name__}
            return {"X-Amz-Function-Error": "Unhandled"}, json.dumps(description).encode()


@contextmanager
def serving(service: LambdaService) -> Iterator[LambdaService]:
    """Serves on a free port and sets `url` to the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers, body = service.invoke(event)
            self.send_response(service.status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        # The base class defines the parameter's name.
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        service.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield service
        server.shutdown()
        thread.join()
