"""A TCP relay in front of the gateway. It records the head of each request, those that the gateway rejects included."""

import re
import socket
import socketserver
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Self

HEAD = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n")
TOKEN_HEADERS = ("authorization", "x-api-key")


@dataclass(frozen=True)
class Sent:
    """A request of a client: the method, the path with its query, and the names of the headers that hold a token."""

    method: str
    target: str
    token_headers: tuple[str, ...]


class Relay(socketserver.ThreadingTCPServer):
    """`with Relay(port) as relay:` listens on a free loopback port and forwards to `port`."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.upstream = ("127.0.0.1", port)
        self.sent: list[Sent] = []
        self._thread = Thread(target=self.serve_forever, name="relay", daemon=True)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def record(self, method: bytes, target: bytes, headers: bytes) -> None:
        names = {line.partition(b":")[0].decode().lower() for line in headers.splitlines()}
        token_headers = tuple(name for name in TOKEN_HEADERS if name in names)
        self.sent.append(Sent(method.decode(), target.decode(), token_headers))


class _Connection(socketserver.BaseRequestHandler):
    """One connection of a client, and the one to the gateway that belongs to it."""

    server: Relay
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(self.server.upstream) as upstream:
            answers = Thread(target=self._send_answers, args=(upstream,), name="relay answers", daemon=True)
            answers.start()
            self._forward_requests(upstream)
            answers.join()

    def _forward_requests(self, upstream: socket.socket) -> None:
        unread = b""
        while data := self.request.recv(65536):
            unread += data
            while head := HEAD.search(unread):
                self.server.record(*head.groups())
                unread = unread[head.end() :]
            upstream.sendall(data)
        upstream.shutdown(socket.SHUT_WR)

    def _send_answers(self, upstream: socket.socket) -> None:
        with suppress(OSError):
            while data := upstream.recv(65536):
                self.request.sendall(data)
            self.request.shutdown(socket.SHUT_WR)
