"""A streamed response as the Lambda Runtime API wants it. A raw socket, because few HTTP clients send trailers."""

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
MOST_PRELUDE = 16 * 1024  # AWS looks for the delimiter in the first 16 KB only
ERROR_TYPE, ERROR_BODY = "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"
USER_AGENT = "lambda-streaming-python/{}.{}.{}".format(*sys.version_info)

_PATH = "/2018-06-01/runtime/invocation/{}/response"
_LOOK_EVERY = 0.1  # seconds between two looks for an early reply: one at every chunk would cost a system call
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\0]")
# Of one connection, not of the answer; a Content-Length in the prelude makes API Gateway answer 502.
_HOP_BY_HOP = re.compile(
    "connection|content-length|keep-alive|proxy-(authenticate|authorization|connection)|te|trailer"
    "|transfer-encoding|upgrade",
    re.IGNORECASE,
)


class RuntimeApiError(Exception):
    """The Runtime API is gone, or answered before the response's end."""


def end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that may travel. ValueError, without the value, for one that could split the response."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a header name: {name!r}")
        if _FORBIDDEN_IN_VALUE.search(value):
            raise ValueError(f"line break or NUL in the header {name}")
    return {name: value for name, value in headers.items() if not _HOP_BY_HOP.fullmatch(name)}


def prelude(status: int, headers: Mapping[str, str]) -> bytes:
    """Status and headers as API Gateway reads them in front of a streamed body, delimiter included."""
    if not 200 <= status <= 599:
        raise ValueError(f"not a final HTTP status: {status}")
    metadata = {"statusCode": status, "headers": end_to_end(headers)}
    encoded = json.dumps(metadata, separators=(",", ":")).encode() + DELIMITER
    if len(encoded) > MOST_PRELUDE:
        raise ValueError(f"status and headers take {len(encoded)} bytes; Lambda reads {MOST_PRELUDE}")
    return encoded


def error_trailers(error: BaseException) -> bytes:
    """Names the error's type only: its text may carry what was in the request."""
    # Lambda wants Function.Xxx in ASCII letters; a Python class may be called anything.
    letters = re.sub(r"[^A-Za-z0-9]", "", type(error).__name__).lstrip("0123456789") or "Error"
    kind = f"Function.{letters[0].upper()}{letters[1:]}"
    told = json.dumps({"errorType": kind, "errorMessage": f"the response body ended with {kind}"})
    body = base64.b64encode(told.encode()).decode()
    return f"{ERROR_TYPE}: {kind}\r\n{ERROR_BODY}: {body}\r\n".encode()


class ChunkedPost:
    """One streamed response on a connection of its own. Every fault of it is a RuntimeApiError."""

    def __init__(self, address: str, invoke_id: str, invocation_id: str | None = None) -> None:
        """`address` is host:port; `invocation_id` is echoed to the Runtime API when it gave one."""
        host, _, port = address.rpartition(":")
        try:
            self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=None)
        except (OSError, ValueError) as error:
            raise RuntimeApiError(f"no connection: {type(error).__name__}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._look_at = 0.0
        self._head = _head(address, invoke_id, invocation_id)

    def close(self) -> None:
        """Of the connection: without an `end()` or `fail()` before it, Lambda sees a truncated response."""
        self._socket.close()

    def begin(self, prelude: bytes) -> None:
        """The request's head and the prelude, each in a send of its own: see `send`."""
        self._transmit(self._head)
        self.send(prelude)

    def send(self, chunk: bytes) -> None:
        """One HTTP chunk in one send. An empty one is left out: on the wire it would be the end."""
        if not chunk:
            return
        framed = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY
            self._refuse_early_reply()
        self._transmit(framed)

    def end(self) -> int:
        """Completes the response; the Runtime API's status (202 when all is well)."""
        self._transmit(b"0\r\n\r\n")
        return self._reply()

    def fail(self, error: BaseException) -> int:
        """Completes it as failed: too late for another status, but Lambda and its metrics hear of it."""
        self._transmit(b"0\r\n" + error_trailers(error) + b"\r\n")
        return self._reply()

    def _transmit(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise RuntimeApiError(f"connection lost: {type(error).__name__}") from error

    def _refuse_early_reply(self) -> None:
        if self._readable.poll(0):
            raise RuntimeApiError(f"answered {self._reply()} before the end")

    def _reply(self) -> int:
        try:
            with self._socket.makefile("rb") as lines:
                status, length = int(lines.readline().split()[1]), 0
                while (line := lines.readline()).strip():
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                lines.read(length)
        except (OSError, IndexError, ValueError) as error:
            raise RuntimeApiError("connection closed without an answer") from error
        return status


def _head(address: str, invoke_id: str, invocation_id: str | None) -> bytes:
    lines = [
        f"POST {_PATH.format(invoke_id)} HTTP/1.1",
        f"Host: {address}",
        f"User-Agent: {USER_AGENT}",
        f"Content-Type: {CONTENT_TYPE}",
        "Lambda-Runtime-Function-Response-Mode: streaming",  # in lower case, or Lambda refuses it
        "Transfer-Encoding: chunked",
        f"Trailer: {ERROR_TYPE}, {ERROR_BODY}",
    ]
    if invocation_id:
        lines.append(f"Lambda-Runtime-Invocation-Id: {invocation_id}")
    return "\r\n".join([*lines, "", ""]).encode()
