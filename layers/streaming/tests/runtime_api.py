"""A small Lambda Runtime API on real sockets that records every read with its time."""

import contextlib
import json
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n" + b'{"status":"OK"}\n'


@dataclass
class Post:
    """One received POST: its request line and headers, then the reads of its raw body."""

    head: str
    reads: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def invoke_id(self) -> str:
        return self.head.split("/invocation/")[1].split("/")[0]

    @property
    def raw(self) -> bytes:
        return b"".join(data for _, data in self.reads)

    @property
    def size(self) -> int:
        return sum(len(data) for _, data in self.reads)

    @property
    def chunks(self) -> list[bytes]:
        return list(_decode_chunked(self.raw)[0])

    @property
    def body(self) -> bytes:
        """The part after the prelude."""
        return self._content.partition(bytes(8))[2]

    @property
    def prelude(self) -> dict[str, object]:
        return dict(json.loads(self._content.partition(bytes(8))[0]))

    @property
    def _content(self) -> bytes:
        return b"".join(self.chunks) if "chunked" in self.head else self.raw

    @property
    def trailers(self) -> dict[str, str]:
        return dict(line.split(": ", 1) for line in _decode_chunked(self.raw)[1].decode().splitlines() if line)

    def arrived(self, text: bytes) -> float:
        """Returns the time of the first read that contains `text`."""
        return next(read_at for read_at, data in self.reads if text in data)


def _decode_chunked(raw: bytes) -> tuple[list[bytes], bytes]:
    """Returns the chunks and the trailers. Raises ValueError when the last chunk is missing."""
    chunks: list[bytes] = []
    start = 0
    while (end := raw.find(b"\r\n", start)) >= 0:
        size, start = int(raw[start:end], 16), end + 2
        if size == 0:
            return chunks, raw[start:]
        if raw[start + size : start + size + 2] != b"\r\n":
            raise ValueError("a chunk is incomplete")
        chunks.append(raw[start : start + size])
        start += size + 2
    raise ValueError("the last chunk is missing")


def _is_complete(post: Post) -> bool:
    if "transfer-encoding: chunked" in post.head.lower():
        # Checks the last reads only: parsing everything at every read would take quadratic time.
        tail = b"".join(data for _, data in post.reads[-8:])[-2000:]
        return tail == b"0\r\n\r\n" or tail.endswith(b"\r\n0\r\n\r\n") or b"\r\n0\r\nLambda-Runtime" in tail
    length = next(line for line in post.head.lower().splitlines() if line.startswith("content-length:"))
    return post.size >= int(length.split(":")[1])


def ignore(_data: bytes) -> None:
    """Does nothing with a read."""


class RuntimeApi:
    """`invoke` returns the function's POST. `reset_after` (bytes), the replies and `pause` disturb a stream.

    `on_read` gets every read of a body.
    """

    def __init__(self) -> None:
        self.reset_after: int | None = None
        self.early_reply: bytes | None = None
        self.late_reply = ACCEPTED
        self.pause: threading.Event | None = None
        self.on_read: Callable[[bytes], object] = ignore
        self._ids = count(1)
        self._events: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._posts: queue.SimpleQueue[Post] = queue.SimpleQueue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def invoke(self, **event: object) -> Post:
        self._events.put((f"id-{next(self._ids)}", json.dumps(event).encode()))
        return self.next_post()

    def next_post(self, timeout: float = 30) -> Post:
        return self._posts.get(timeout=timeout)

    def close(self) -> None:
        for connection in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while head := _read_head(connection):
                text, _, first_read = head.partition(b"\r\n\r\n")
                if b"/restore/next" in text:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                elif text.startswith(b"GET"):
                    invoke_id, event = self._events.get()
                    connection.sendall(_event(invoke_id, event))
                elif not self._receive(connection, Post(text.decode(), [(time.monotonic(), first_read)])):
                    break
        self._open.discard(connection)

    def _receive(self, connection: socket.socket, post: Post) -> bool:
        """Receives a POST and replies. Returns whether the connection stays open."""
        is_stream = "chunked" in post.head
        self.on_read(post.raw)
        if is_stream and self.pause is not None:
            self.pause.wait(30)
        while not _is_complete(post):
            if is_stream and self.reset_after is not None and post.size > self.reset_after:
                self.reset_after = None
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._posts.put(post)
                return False
            if is_stream and self.early_reply is not None and post.size > 500:
                connection.sendall(self.early_reply)
                self.early_reply = None
            data = connection.recv(1 << 16)
            if not data:
                self._posts.put(post)
                return False
            post.reads.append((time.monotonic(), data))
            self.on_read(data)
        connection.sendall(self.late_reply)
        self._posts.put(post)
        return True


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(1 << 16)
        if not data:
            return b""
        head += data
    return head


def _event(invoke_id: str, event: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {invoke_id}\r\nLambda-Runtime-Invocation-Id: invocation-of-{invoke_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {int(time.time() * 1000) + 60_000}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: arn\r\nContent-Length: {len(event)}\r\n\r\n"
    )
    return head.encode() + event
