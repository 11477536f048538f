"""An HTTP client that records each chunk with its arrival time, the trailers, and whether the response is complete.

It reads from the socket: HTTP libraries expose neither trailers nor the arrival times of chunks.
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
class Response:
    """A response. Times are seconds since the start of the request.

    `complete`: all of Content-Length has arrived, or the last chunk and the end of the trailers.
    """

    status: int
    headers: dict[str, str]
    head_bytes: int
    head_after_s: float
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    trailers: list[str] = field(default_factory=list)
    complete: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.chunks)

    def json(self) -> Any:
        """Returns the parsed body, or None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def error_code(self) -> str | None:
        """The code of an error in the standard format, else None."""
        body = self.json()
        error = body.get("error") if isinstance(body, dict) else None
        if isinstance(error, dict) and {"message", "type", "code", "param"} <= error.keys():
            return str(error["code"])
        return None


class Exchange:
    """One request on its own connection. The end of the `with` block closes it."""

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
        self._started = time.monotonic()
        try:
            self._send("\r\n".join([*lines, "", ""]).encode() + (body or b""))
            self.response = self._read_head()
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
        # A server may respond and close before it has read the whole request. The response is still readable.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _read_head(self) -> Response:
        first = self._file.readline()
        if not first:
            raise ConnectionError("the connection was closed without a response")
        lines = list(iter(self._file.readline, b"\r\n"))
        pairs = (line.decode("latin-1").partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return Response(int(first.split()[1]), headers, len(first) + sum(map(len, lines)), self._elapsed())

    def chunks(self) -> Iterator[bytes]:
        """Yields each chunk on arrival and records it in the response with its time."""
        for data in self._read_body():
            self.response.chunks.append((self._elapsed(), data))
            yield data

    def _read_body(self) -> Iterator[bytes]:
        if self.response.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._read_chunks()
            return
        length = self.response.headers.get("content-length")
        remaining = int(length) if length else 0
        while remaining > 0 and (data := self._file.read(min(remaining, 65536))):
            remaining -= len(data)
            yield data
        self.response.complete = remaining == 0

    def _read_chunks(self) -> Iterator[bytes]:
        while size := int(self._file.readline().partition(b";")[0] or b"0", 16):
            data = self._file.read(size)
            yield data
            if len(data) < size or self._file.readline() != b"\r\n":
                return
        for line in iter(self._file.readline, b""):
            if line == b"\r\n":
                self.response.complete = True
                return
            self.response.trailers.append(line.decode("latin-1").strip())


class Gateway:
    """A deployed gateway, the token for its requests, and the provider that they name, if any."""

    def __init__(self, url: str, token: str, provider: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self.provider = provider

    def start(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> Exchange:
        """Sends a request and reads the response's headers.

        `token=""` sends no token. The token is in x-api-key under /anthropic. A body that is not bytes is sent as JSON.
        An underscore in a header's name becomes a hyphen.
        """
        is_anthropic = path.startswith("/anthropic/")
        all_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if chosen := self._token if token is None else token:
            all_headers |= {"x-api-key": chosen} if is_anthropic else {"Authorization": f"Bearer {chosen}"}
        if self.provider and (is_anthropic or path.startswith("/v1/")):
            all_headers.setdefault("X-Provider-Id", self.provider)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return Exchange(self.url, method, path, all_headers, content)

    def request(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> Response:
        """Sends a request and reads the complete response."""
        with self.start(method, path, body, token=token, **headers) as exchange:
            for _ in exchange.chunks():
                pass
            return exchange.response
