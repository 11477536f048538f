"""HTTP as it arrives: each chunk with its time, what follows the last one, and whether the end was a clean one.

No HTTP library shows trailers, or when a chunk came; so this one reads them from the socket.
"""

import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit

TIMEOUT_S = 120.0


@dataclass
class Reply:
    """An answer as it came. Times are seconds since the request was sent."""

    status: int
    headers: dict[str, str]
    head_bytes: int
    head_at: float
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    trailers: list[str] = field(default_factory=list)
    clean: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.chunks)

    def json(self) -> Any:
        """None for what is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> str | None:
        """The code of an error in the one shape, else None."""
        body = self.json()
        error = body.get("error") if isinstance(body, dict) else None
        whole = isinstance(error, dict) and {"message", "type", "code", "param"} <= error.keys()
        return str(error["code"]) if whole and isinstance(error, dict) else None


class Conversation:
    """One request on a connection of its own, which the end of the `with` closes."""

    def __init__(self, url: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        self._socket: socket.socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        if secure:
            self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
        self._file: BinaryIO = self._socket.makefile("rb")
        lines = [f"{method} {parts.path.rstrip('/')}{path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self._began = time.monotonic()
        try:
            self._send("\r\n".join([*lines, "", ""]).encode() + (body or b""))
            self.reply = self._head()
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._file.close()
        self._socket.close()

    def _send(self, data: bytes) -> None:
        # Refused before it was read to its end: the answer may be there all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _head(self) -> Reply:
        first = self._file.readline()
        if not first:
            raise ConnectionError("the connection was closed without an answer")
        lines = list(iter(self._file.readline, b"\r\n"))
        pairs = (line.decode("latin-1").partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return Reply(int(first.split()[1]), headers, len(first) + sum(map(len, lines)), self._elapsed())

    def chunks(self) -> Iterator[bytes]:
        """Each chunk when it has come; the reply has them too, with their times."""
        for data in self._pieces():
            self.reply.chunks.append((self._elapsed(), data))
            yield data

    def _pieces(self) -> Iterator[bytes]:
        if self.reply.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunked()
            return
        length = self.reply.headers.get("content-length")
        left = int(length) if length else 0
        while left > 0 and (data := self._file.read(min(left, 65536))):
            left -= len(data)
            yield data
        self.reply.clean = left == 0

    def _chunked(self) -> Iterator[bytes]:
        while size := int(self._file.readline().partition(b";")[0] or b"0", 16):
            data = self._file.read(size)
            yield data
            if len(data) < size or self._file.readline() != b"\r\n":
                return  # cut off
        for line in iter(self._file.readline, b""):
            if line == b"\r\n":
                self.reply.clean = True
                return
            self.reply.trailers.append(line.decode("latin-1").strip())


class Gateway:
    """A deployed gateway, the token that opens it, and the provider that its requests name, if any."""

    def __init__(self, url: str, token: str, provider: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self.provider = provider

    def begin(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> Conversation:
        """A request, up to the head of its answer. `token=""` sends none. A body that is not bytes goes as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if chosen := self._token if token is None else token:
            sent["Authorization"] = f"Bearer {chosen}"
        if self.provider and path.startswith("/v1/"):
            sent.setdefault("X-Provider-Id", self.provider)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return Conversation(self.url, method, path, sent, content)

    def ask(self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str) -> Reply:
        """A request and the whole of its answer."""
        with self.begin(method, path, body, token=token, **headers) as conversation:
            for _ in conversation.chunks():
                pass
            return conversation.reply
