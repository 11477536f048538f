"""Small servers on real sockets that answer, pause and break off as a test says."""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from threading import Event, Thread


class Cut(Enum):
    CLOSE = "close"
    RESET = "reset"


HANG = 30.0  # ends with the server
END = b"0\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"

# What a server does with a request: bytes are sent, numbers are seconds of silence.
type Piece = bytes | float | Cut
type Script = Callable[[Received], tuple[Piece, ...]]


@dataclass(frozen=True)
class Received:
    """One request as it came; header names in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


def answer(status: int = 200, body: bytes = b"", content_type: str = "application/json", **headers: str) -> bytes:
    """A whole answer; `_` in a header's name stands for `-`."""
    named = {"content-type": content_type, "content-length": str(len(body))} | headers
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def always(*pieces: Piece) -> Script:
    return lambda _: pieces


def in_turn(*scripts: tuple[Piece, ...]) -> Script:
    """The nth request gets the nth script; all after the last get the last."""
    left = list(scripts)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


class Server:
    """Answers every request by its script. `connections` counts those accepted, before any TLS; `noise` is what came
    that is no HTTP."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.noise = b""
        self.script = script
        self._tls = tls
        self._closing = Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._open: list[socket.socket] = []
        self._threads = [Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def close(self) -> None:
        self._closing.set()
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.connections += 1
                self._open.append(accepted)
                thread = Thread(target=self._talk, args=(accepted, self.connections), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _talk(self, accepted: socket.socket, number: int) -> None:
        with suppress(OSError), accepted:
            talking = accepted if self._tls is None else self._tls.wrap_socket(accepted, server_side=True)
            with talking:
                for received in self._requests(talking, number):
                    self.received.append(received)
                    if not self._play(talking, self.script(received)):
                        return

    def _play(self, talking: socket.socket, pieces: tuple[Piece, ...]) -> bool:
        for piece in pieces:
            if isinstance(piece, bytes):
                talking.sendall(piece)
            elif isinstance(piece, Cut):
                if piece is Cut.RESET:
                    talking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            elif self._closing.wait(piece):
                return False
        return True

    def _requests(self, talking: socket.socket, number: int) -> Iterator[Received]:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                if not (more := talking.recv(65536)):
                    return
                data += more
                if not data[:1].isalpha():  # a TLS hello, say; a server that knows no TLS answers it like this
                    self.noise += data
                    talking.sendall(answer(400))
                    return
            head, _, data = data.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0"))
            while len(data) < length:
                if not (more := talking.recv(65536)):
                    return
                data += more
            yield Received(first.split(" ")[1], headers, data[:length], number)
            data = data[length:]


@contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(script, tls)
    try:
        yield server
    finally:
        server.close()
