#!/usr/bin/env bash
# httpx: with 20 streams open, no further request reuses a connection, although no connection is idle. httpx2 mends it.
#
# Versions: httpx 0.28.1 with httpcore 1.0.9, httpx2 2.16.2 with httpcore2 2.16.2 (PyPI, the newest of each in November
#           2026), Python 3.13.
# Expected: httpx's page "Resource limits" describes `max_keepalive_connections`, 20 by default, as the number of
#           connections to keep alive. A client with many streams and short requests should therefore keep up to 20
#           idle connections, and one connection should suffice for short requests that follow each other.
# Seen:     with 19 streams open, ten requests in a row use one connection. With 20 streams open they use ten: each is
#           closed as soon as its response has been read. The pool compares the limit with the number of all its
#           connections, busy ones included. httpx2, its fork, uses one connection in both cases.
# Matters:  A gateway with more simultaneous streams than this limit pays a TCP and a TLS handshake for every request,
#           only under load, and nothing reports it. With httpx, set the limit to the largest number of simultaneous
#           requests.
# Source:   httpx page "Resource limits". Code: `_assign_requests_to_connections` in `httpcore/_sync/connection_pool.py`
#           takes the length of a list with one entry for each connection. https://github.com/encode/httpcore/pull/1000
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.13 -m venv venv
venv/bin/pip install -q httpx==0.28.1 httpcore==1.0.9 httpx2==2.16.2 httpcore2==2.16.2

cat > finding.py <<'PYTHON'
import importlib
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers /stream with the first part of a body, and everything else completely."""

    protocol_version = "HTTP/1.1"
    ended = threading.Event()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.path == "/stream":
            self.wfile.write(b"a")
            self.ended.wait()
            self.wfile.write(b"b")
        else:
            self.wfile.write(b"ok")
            connections.add(self.client_address)

    def log_message(self, *_):
        pass


def connections_of_ten_requests(client, url, streams):
    """Returns how many connections ten requests in a row use while `streams` streams are open."""
    connections.clear()
    with ExitStack() as stack:
        for _ in range(streams):
            stack.enter_context(client.stream("GET", f"{url}/stream"))
        for _ in range(10):
            assert client.get(url).text == "ok"
    return len(connections)


connections = set()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
for name, expected in (("httpx", {19: 1, 20: 10}), ("httpx2", {19: 1, 20: 1})):
    library = importlib.import_module(name)
    used = {}
    for streams in (19, 20):
        with library.Client(trust_env=False) as client:
            used[streams] = connections_of_ten_requests(client, url, streams)
    print(f"{name} {library.__version__}: connections of ten requests by number of open streams: {used}")
    assert used == expected, "the behaviour has changed"
Handler.ended.set()
print("confirmed: httpx counts busy connections as kept ones")
PYTHON
venv/bin/python finding.py
