"""As much of the Lambda service as an invocation needs: HTTP on loopback, with a function's handler behind it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class LambdaService:
    """`handler` answers every invocation; an exception of it is a FunctionError. `asked` is what came."""

    handler: Callable[[dict[str, Any]], Any]
    status: int = 200
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, event: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        self.asked.append(event)
        try:
            return {}, json.dumps(self.handler(event)).encode()
        except Exception as error:  # noqa: BLE001 -- as Lambda does
            told = {"errorMessage": str(error), "errorType": type(error).__name__}
            return {"X-Amz-Function-Error": "Unhandled"}, json.dumps(told).encode()


@contextmanager
def serving(service: LambdaService) -> Iterator[LambdaService]:
    """The service on a free port; its address is then in `url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers, body = service.invoke(event)
            self.send_response(service.status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        service.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield service
        server.shutdown()
        thread.join()
