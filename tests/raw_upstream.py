"""A provider made of a raw socket: it plays a script byte for byte, and ends as the script says."""

import json
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Literal, Self

type Ending = Literal["clean", "reset", "close", "hang"]
type Framing = Literal["chunked", "length", "close"]
type Piece = bytes | float  # written, or seconds of silence

EVENT_STREAM = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


@dataclass
class Seen:
    """A request that came; header names in lower case. `left_at` (monotonic) is set when its client left early."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    left_at: float | None = None

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass(frozen=True)
class Script:
    """What is done with one request. `raw` replaces the status line and the headers; the pieces are then not framed.

    A clean end ends the body as its framing has it; "close" and "reset" break the connection off instead, and
    "hang" does nothing more until the client leaves. `wait` is the silence before the head.
    """

    pieces: tuple[Piece, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: EVENT_STREAM)
    ending: Ending = "clean"
    framing: Framing = "chunked"
    keep_alive: bool = True
    wait: float = 0.0
    raw: bytes | None = None

    @property
    def head(self) -> bytes:
        if self.raw is not None:
            return self.raw
        length = str(sum(len(piece) for piece in self.pieces if isinstance(piece, bytes)))
        framed = {"chunked": {"transfer-encoding": "chunked"}, "length": {"content-length": length}, "close": {}}
        closing = {} if self.reusable else {"connection": "close"}
        lines = dict(self.headers) | framed[self.framing] | closing
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{text}\r\n".encode()

    @property
    def reusable(self) -> bool:
        return self.keep_alive and self.framing != "close" and self.ending == "clean" and self.raw is None

    @property
    def played(self) -> tuple[Piece, ...]:
        """Without the silence after a whole body of known length: its client may ask again on this connection."""
        end = len(self.pieces)
        while end and self.reusable and self.framing == "length" and not isinstance(self.pieces[end - 1], bytes):
            end -= 1
        return self.pieces[:end]

    def framed(self, piece: bytes) -> bytes:
        chunked = self.framing == "chunked" and self.raw is None
        return b"%x\r\n%b\r\n" % (len(piece), piece) if chunked and piece else piece

    @property
    def terminator(self) -> bytes:
        return b"0\r\n\r\n" if self.framing == "chunked" and self.raw is None else b""


def answer(body: bytes, status: int = 200, content_type: str = "application/json", **more: Any) -> Script:
    """A whole answer that is no stream; `more` are fields of the script."""
    return Script((body,), status, {"content-type": content_type}, framing="length", **more)


class RawUpstream:
    """`with RawUpstream(script) as upstream:` on a free port; each request is played the script that it gets."""

    def __init__(self, script: Callable[[Seen], Script], tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[Seen] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        self._tls = tls
        self._ended = Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._thread = Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}/v1"

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def drop_connections(self) -> None:
        """Closes every connection, as a restart does."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        self._thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                with self._lock:
                    self._open.add(connection)
                Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            with suppress(OSError), connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is None:
                    self._talk(connection, number)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as wrapped:
                        self._talk(wrapped, number)
        finally:
            with self._lock:
                self._open.discard(connection)

    def _talk(self, connection: socket.socket, number: int) -> None:
        for seen in _requests(connection, number):
            self.requests.append(seen)
            script = self.script(seen)
            if not self._play(connection, seen, script) or not script.reusable:
                return

    def _play(self, connection: socket.socket, seen: Seen, script: Script) -> bool:
        """Whether the connection can be used again."""
        try:
            if not self._rest(connection, seen, script.wait):
                return False
            connection.sendall(script.head)
            for piece in script.played:
                if isinstance(piece, bytes):
                    connection.sendall(script.framed(piece))
                elif not self._rest(connection, seen, piece):
                    return False
            return self._end(connection, seen, script)
        except OSError:
            seen.left_at = time.monotonic()
            return False

    def _end(self, connection: socket.socket, seen: Seen, script: Script) -> bool:
        if script.ending == "clean":
            connection.sendall(script.terminator)
            return True
        if script.ending == "hang":
            self._rest(connection, seen, float("inf"))
        if script.ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _rest(self, connection: socket.socket, seen: Seen, seconds: float) -> bool:
        """Silent for so long. False when the client left meanwhile, or the upstream ends."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._ended.is_set():
            if select.select([connection], [], [], min(left, 0.2))[0]:
                seen.left_at = time.monotonic()  # nothing but an end comes before the answer is whole
                return False
        return not self._ended.is_set()


def _requests(connection: socket.socket, number: int) -> Iterator[Seen]:
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65536)):
                return
            data += more
            if not data[:1].isalpha():  # a TLS hello, say
                connection.sendall(answer(b"no HTTP\n", 400, "text/plain").head + b"no HTTP\n")
                return
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(data) < length:
            if not (more := connection.recv(65536)):
                return
            data += more
        method, target, _ = first.split(" ")
        yield Seen(method, target, headers, data[:length], number)
        data = data[length:]
