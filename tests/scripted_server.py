"""An HTTP server on a raw socket that plays scripts: exact bytes, pauses, broken connections and silence."""

import json
import math
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Literal, Self

EVENT_STREAM = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
# The last chunk of a chunked body.
END = b"0\r\n\r\n"
# A pause until the client or the server closes the connection.
HANG = math.inf


class Cut(Enum):
    """How the server breaks a connection off."""

    CLOSE = "close"
    RESET = "reset"


@dataclass
class Request:
    """A received request. Header names are in lower case.

    `left_at` is the monotonic time at which the connection ended before its script did.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    left_at: float | None = None

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


# The server sends bytes, pauses for a number of seconds and calls functions. `event.wait` lets the next piece wait for
# the test, and `event.set` tells the test that the pieces before have been sent.
type Piece = bytes | float | Cut | Callable[[], object]
type Pieces = tuple[Piece, ...]
type Script = Callable[[Request], Pieces]
type Framing = Literal["chunked", "length", "close"]
type Ending = Literal["clean", "close", "reset", "hang"]


def answer(status: int = 200, body: bytes = b"", content_type: str = "application/json", **headers: str) -> bytes:
    """Returns a whole response. `_` in a header's name stands for `-`."""
    named = {"content-type": content_type, "content-length": str(len(body))} | headers
    return _head(status, {name.replace("_", "-"): value for name, value in named.items()}) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def response(
    body: tuple[bytes | float, ...] = (),
    status: int = 200,
    headers: Mapping[str, str] = EVENT_STREAM,
    *,
    framing: Framing = "chunked",
    ending: Ending = "clean",
) -> Pieces:
    """Returns the pieces of a response whose body has pauses.

    A clean ending completes the body as its framing requires. The other endings leave it incomplete.
    """
    length = str(sum(len(piece) for piece in body if isinstance(piece, bytes)))
    framed = {"chunked": {"transfer-encoding": "chunked"}, "length": {"content-length": length}, "close": {}}
    reusable = ending == "clean" and framing != "close"
    head = _head(status, dict(headers) | framed[framing] | ({} if reusable else {"connection": "close"}))
    pieces: list[Piece] = [head, *(_framed(piece, framing) for piece in body if piece)]
    return (*pieces, *_last_pieces(framing, ending))


def _framed(piece: bytes | float, framing: Framing) -> Piece:
    return chunk(piece) if framing == "chunked" and isinstance(piece, bytes) else piece


def _last_pieces(framing: Framing, ending: Ending) -> Pieces:
    if ending == "clean":
        last_pieces: dict[Framing, Pieces] = {"chunked": (END,), "length": (), "close": (Cut.CLOSE,)}
        return last_pieces[framing]
    last: Piece = HANG if ending == "hang" else Cut(ending)
    return (last,)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    # HTTP allows other statuses too, such as Anthropic's 529.
    phrase = HTTPStatus(status).phrase if status in HTTPStatus else ""
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode()


def always(*pieces: Piece) -> Script:
    return lambda _: pieces


def in_turn(*responses: Pieces) -> Script:
    """The nth request gets the nth response. Later requests get the last one."""
    left = list(responses)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


class _NotHttpError(Exception):
    """The client sent bytes that are not HTTP, for example a TLS handshake."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class _Connection:
    def __init__(self, connection: socket.socket, number: int) -> None:
        self._socket = connection
        self._number = number
        self._buffer = b""

    def read_request(self) -> Request | None:
        """Returns the next request, or None if the client closed the connection."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._receive():
                return None
            if not self._buffer[:1].isalpha():
                raise _NotHttpError(self._buffer)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            if not self._receive():
                return None
        method, target, _ = first.split(" ")
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Request(method, target, headers, body, self._number)

    def play(self, request: Request, pieces: Pieces) -> bool:
        """Returns whether the connection can carry another request."""
        try:
            return all(self._play_piece(piece, request) for piece in pieces)
        except OSError:
            request.left_at = time.monotonic()
            return False

    def _play_piece(self, piece: Piece, request: Request) -> bool:
        if isinstance(piece, bytes):
            self._socket.sendall(piece)
            return True
        if isinstance(piece, Cut):
            if piece is Cut.RESET:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if callable(piece):
            piece()
            return True
        if self._pause(piece):
            return True
        request.left_at = time.monotonic()
        return False

    def _pause(self, seconds: float) -> bool:
        """Waits. Returns False as soon as the connection is closed. Buffers the next request if it comes meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            readable = select.select([self._socket], [], [], None if math.isinf(left) else left)[0]
            if readable and not self._receive():
                return False
        return True

    def _receive(self) -> bool:
        data = self._socket.recv(65536)
        self._buffer += data
        return bool(data)


class ScriptedServer:
    """`with ScriptedServer(script) as server:` serves on a free loopback port and plays the script of each request.

    `connections` counts the accepted connections, including those whose TLS handshake fails. `noise` holds the
    received bytes that are not HTTP.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.noise = b""
        self._tls = tls
        self._closing = Event()
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._accepting = Thread(target=self._accept, daemon=True)
        self._serving: list[Thread] = []

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

    def close(self) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(5)
        self._listener.close()
        self.drop_connections()
        for thread in self._serving:
            thread.join(5)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.connections += 1
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                arguments = (accepted, self.connections)
                thread = Thread(target=self._serve, name="scripted connection", args=arguments, daemon=True)
                self._serving.append(thread)
                thread.start()

    def _serve(self, accepted: socket.socket, number: int) -> None:
        with suppress(OSError), accepted, self._wrap(accepted) as connection:
            with self._lock:
                self._open.add(connection)
            try:
                # close() does not see a connection that is added after it.
                if not self._closing.is_set():
                    self._talk(connection, number)
            finally:
                # Whoever sees `open_connections` at 0 relies on the end having been sent.
                connection.close()
                with self._lock:
                    self._open.discard(connection)

    def _wrap(self, accepted: socket.socket) -> socket.socket:
        if self._tls is None:
            return accepted
        return self._tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)

    def _talk(self, accepted: socket.socket, number: int) -> None:
        if isinstance(accepted, ssl.SSLSocket):
            accepted.do_handshake()
        connection = _Connection(accepted, number)
        try:
            while (request := connection.read_request()) is not None:
                self.requests.append(request)
                if not connection.play(request, self.script(request)):
                    return
        except _NotHttpError as error:
            self.noise += error.data
            accepted.sendall(answer(400))
