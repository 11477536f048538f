"""One invocation of a streaming function: passes the response from the function's side to the client's side."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from uuid import uuid4

DELIMITER = bytes(8)
# Metadata and delimiter together must fit into this size.
MAX_PRELUDE_BYTES = 16 * 1024

_FRAMING_HEADERS = {"content-length", "transfer-encoding", "connection"}
# RFC 9110, sections 5.1 and 5.5. The HTTP server refuses to send any other header.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# When this many chunks wait for the client, the function's next write blocks.
_MAX_BUFFERED_CHUNKS = 16


class FunctionError(Exception):
    """The function sent no usable response. The message is for the log and is never sent to the client."""


class StreamInterruptedError(Exception):
    """The response ended early, after its status had been sent. The message is for the log."""


class State(Enum):
    """An invocation's progress, in this order."""

    QUEUED = auto()
    RUNNING = auto()
    RESPONDING = auto()
    DONE = auto()


@dataclass(frozen=True)
class ResponsePrelude:
    """The status and headers at the start of a streamed response."""

    status: int
    headers: tuple[tuple[str, str], ...]


class Invocation:
    """One event for a function and its response. `failure` is the reason of an error, for the log."""

    def __init__(self, request_id: str, event: bytes) -> None:
        self.id = request_id
        self.attempt = str(uuid4())
        self.event = event
        self.state = State.QUEUED
        self.abandoned = False
        self.failure: str | None = None
        self.on_abandon: Callable[[], None] = lambda: None
        self._head = bytearray()
        self._prelude: asyncio.Future[ResponsePrelude] = asyncio.get_running_loop().create_future()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(_MAX_BUFFERED_CHUNKS)

    # The function's side.

    async def feed(self, data: bytes) -> None:
        """Adds bytes of the response. Waits while the client reads slowly; drops the bytes after the end."""
        if not self._prelude.done():
            self._head += data
            data = self._parse_head()
        if data:
            try:
                await self._chunks.put(data)
            except asyncio.QueueShutDown:
                # The client disconnected or the invocation failed.
                return

    def finish(self) -> None:
        """Marks the response as complete."""
        if not self._prelude.done():
            self.fail("the response has no metadata prelude, which a STREAM method requires")
        self._chunks.shutdown()

    def fail(self, reason: str) -> None:
        """Ends the response with an error. Only the first reason is kept."""
        self.failure = self.failure or reason
        if not self._prelude.done():
            self._prelude.set_exception(FunctionError(reason))
        self._chunks.shutdown()

    def _parse_head(self) -> bytes:
        """Parses the prelude once it is complete. Returns the bytes after it."""
        end = self._head.find(DELIMITER, 0, MAX_PRELUDE_BYTES)
        if end < 0:
            if len(self._head) >= MAX_PRELUDE_BYTES:
                self.fail("the first 16 KiB of the response have no metadata prelude")
            return b""
        try:
            self._prelude.set_result(parse_prelude(bytes(self._head[:end])))
        except ValueError as error:
            self.fail(f"invalid metadata prelude: {error}")
            return b""
        return bytes(self._head[end + len(DELIMITER) :])

    # The client's side.

    async def prelude(self) -> ResponsePrelude:
        """Waits for the status and headers. Raises FunctionError if the function fails first."""
        return await self._prelude

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields the body as it arrives. Raises StreamInterruptedError if it ends early."""
        while True:
            try:
                yield await self._chunks.get()
            except asyncio.QueueShutDown:
                break
        if self.failure is not None:
            raise StreamInterruptedError(self.failure)

    def abandon(self) -> None:
        """Drops the rest of the response, because the client no longer reads it."""
        self.abandoned = True
        if not self._prelude.cancel() and not self._prelude.cancelled():
            # asyncio logs an exception that is never retrieved.
            self._prelude.exception()
        self._chunks.shutdown(immediate=True)
        self.on_abandon()


def parse_prelude(metadata: bytes) -> ResponsePrelude:
    """Parses the metadata's JSON. Raises ValueError where API Gateway responds with 502."""
    try:
        fields = json.loads(metadata)
    except ValueError as error:
        raise ValueError("not JSON") from error
    status = fields.get("statusCode") if isinstance(fields, dict) else None
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError("statusCode is not a number between 200 and 599")
    headers = tuple(_headers(fields))
    for name, value in headers:
        if name.lower() in _FRAMING_HEADERS:
            raise ValueError(f"only API Gateway may set the header {name}")
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("a header name has an invalid character")
        if _CONTROL_CHARACTER.search(value):
            raise ValueError("a header has a control character")
    return ResponsePrelude(status, headers)


def _headers(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns headers, multi-value headers and cookies in one list. Multi-value headers override single ones."""
    multi = fields.get("multiValueHeaders") or {}
    overridden = {name.lower() for name in multi}
    single = [(k, str(v)) for k, v in (fields.get("headers") or {}).items() if k.lower() not in overridden]
    repeated = [(name, str(value)) for name, values in multi.items() for value in values]
    cookies = [("Set-Cookie", str(cookie)) for cookie in fields.get("cookies") or []]
    return single + repeated + cookies
