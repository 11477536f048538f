"""Sends a streamed response to the Lambda Runtime API. Uses a raw socket: few HTTP clients can send trailers."""

import base64
import json
import re
import select
import socket
import sys
import time
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
DELIMITER = bytes(8)
# AWS looks for the delimiter in the first 16 KB only.
MAX_PRELUDE_BYTES = 16 * 1024
ERROR_TYPE, ERROR_BODY = "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"
USER_AGENT = "lambda-streaming-python/{}.{}.{}".format(*sys.version_info)

_PATH = "/2018-06-01/runtime/invocation/{}/response"
# A check at every chunk would cost a system call each.
_EARLY_REPLY_CHECK_SECONDS = 0.1
# Time for the reply after the deadline, which may have passed while the last chunk was sent.
_MIN_REPLY_SECONDS = 0.5
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\0]")
# These headers describe one connection. A Content-Length in the prelude makes API Gateway answer 502.
_HOP_BY_HOP = re.compile(
    "connection|content-length|keep-alive|proxy-(authenticate|authorization|connection)|te|trailer"
    "|transfer-encoding|upgrade",
    re.IGNORECASE,
)


class RuntimeApiError(Exception):
    """The connection to the Runtime API failed, or it replied before the end of the response."""


def end_to_end_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers without the hop-by-hop ones.

    Raises ValueError for a header that could split the response. The message never contains a header's value.
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"The header name {name!r} is invalid. Use the characters of an HTTP token.")
        if _FORBIDDEN_IN_VALUE.search(value):
            raise ValueError(f"The value of the header {name} contains a line break or NUL. Remove it.")
    return {name: value for name, value in headers.items() if not _HOP_BY_HOP.fullmatch(name)}


def prelude(status: int, headers: Mapping[str, str]) -> bytes:
    """Encodes status and headers as API Gateway reads them before a streamed body, delimiter included.

    Raises ValueError for an invalid status or header, and for more than MAX_PRELUDE_BYTES.
    """
    if not 200 <= status <= 599:
        raise ValueError(f"The status {status} is not a final HTTP status. Use 200 to 599.")
    metadata = {"statusCode": status, "headers": end_to_end_headers(headers)}
    encoded = json.dumps(metadata, separators=(",", ":")).encode() + DELIMITER
    if len(encoded) > MAX_PRELUDE_BYTES:
        raise ValueError(
            f"The status and headers are {len(encoded)} bytes long. Shorten them to {MAX_PRELUDE_BYTES} bytes."
        )
    return encoded


def error_trailers(error: BaseException) -> bytes:
    """Encodes the error's type as trailers. Its text is left out: it may contain parts of the request."""
    # Lambda accepts only Function.Xxx in ASCII letters and digits. A Python class name may contain other letters.
    letters = re.sub(r"[^A-Za-z0-9]", "", type(error).__name__).lstrip("0123456789") or "Error"
    error_type = f"Function.{letters[0].upper()}{letters[1:]}"
    description = json.dumps({"errorType": error_type, "errorMessage": f"the response body ended with {error_type}"})
    body = base64.b64encode(description.encode()).decode()
    return f"{ERROR_TYPE}: {error_type}\r\n{ERROR_BODY}: {body}\r\n".encode()


def connect(address: str) -> socket.socket:
    """Connects to the Runtime API at `address`, a host:port. Raises RuntimeApiError."""
    host, _, port = address.rpartition(":")
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), timeout=None)
    except (OSError, ValueError) as error:
        raise RuntimeApiError(f"connection failed: {type(error).__name__}") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def is_unused(connection: socket.socket) -> bool:
    """Whether the Runtime API has neither closed an unused connection nor sent anything on it."""
    readable = select.poll()
    readable.register(connection, select.POLLIN)
    return not readable.poll(0)


class ChunkedPost:
    """One streamed response on its own connection. Every failure raises RuntimeApiError."""

    def __init__(
        self,
        address: str,
        invoke_id: str,
        invocation_id: str | None = None,
        *,
        deadline: float | None = None,
        connection: socket.socket | None = None,
    ) -> None:
        """Uses `connection` or connects to `address`. Echoes `invocation_id` if the Runtime API sent one.

        Sending to a client that does not read fails at `deadline`, a monotonic time.
        """
        self._socket = connection or connect(address)
        self._deadline = deadline
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self._socket, select.POLLOUT)
        self._next_reply_check = 0.0
        self._head = _head(address, invoke_id, invocation_id)

    def close(self) -> None:
        """Closes the connection. Without a prior `end()` or `fail()`, Lambda reports a truncated response."""
        self._socket.close()

    def begin(self, prelude: bytes) -> None:
        """Sends the request's head and the prelude, each with its own system call."""
        self._send_all(self._head)
        self.send(prelude)

    def send(self, chunk: bytes) -> None:
        """Sends one HTTP chunk in one system call. Skips an empty chunk: it would end the response."""
        if not chunk:
            return
        framed = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        now = time.monotonic()
        if now >= self._next_reply_check:
            self._next_reply_check = now + _EARLY_REPLY_CHECK_SECONDS
            self._raise_on_early_reply()
        self._send_all(framed)

    def end(self) -> int:
        """Completes the response. Returns the Runtime API's status, 202 on success."""
        self._send_all(b"0\r\n\r\n")
        return self._read_reply()

    def fail(self, error: BaseException) -> int:
        """Completes the response with error trailers, which Lambda counts. Returns the Runtime API's status."""
        self._send_all(b"0\r\n" + error_trailers(error) + b"\r\n")
        return self._read_reply()

    def _send_all(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._send_some(rest) :]
        except OSError as error:
            raise RuntimeApiError(f"connection was lost: {type(error).__name__}") from error

    def _send_some(self, data: memoryview) -> int:
        # A socket with a timeout would be polled before each send. This polls only where the buffer is full.
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            seconds = self._remaining_seconds()
            if not self._writable.poll(None if seconds is None else seconds * 1000):
                raise RuntimeApiError("did not take the response before the deadline") from None
            return 0

    def _remaining_seconds(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _raise_on_early_reply(self) -> None:
        if self._readable.poll(0):
            raise RuntimeApiError(f"answered {self._read_reply()} before the end")

    def _read_reply(self) -> int:
        seconds = self._remaining_seconds()
        self._socket.settimeout(None if seconds is None else max(seconds, _MIN_REPLY_SECONDS))
        try:
            with self._socket.makefile("rb") as lines:
                status, length = int(lines.readline().split()[1]), 0
                while (line := lines.readline()).strip():
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                lines.read(length)
        except (OSError, IndexError, ValueError) as error:
            raise RuntimeApiError("closed the connection without a reply") from error
        return status


def _head(address: str, invoke_id: str, invocation_id: str | None) -> bytes:
    lines = [
        f"POST {_PATH.format(invoke_id)} HTTP/1.1",
        f"Host: {address}",
        f"User-Agent: {USER_AGENT}",
        f"Content-Type: {CONTENT_TYPE}",
        # Lambda rejects any other spelling, "Streaming" included.
        "Lambda-Runtime-Function-Response-Mode: streaming",
        "Transfer-Encoding: chunked",
        f"Trailer: {ERROR_TYPE}, {ERROR_BODY}",
    ]
    if invocation_id:
        lines.append(f"Lambda-Runtime-Invocation-Id: {invocation_id}")
    return "\r\n".join([*lines, "", ""]).encode()
