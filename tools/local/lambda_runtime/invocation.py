"""One invocation of a streaming function: bytes come in from the function's side and go out on the client's side."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from uuid import uuid4

DELIMITER = bytes(8)
PRELUDE_LIMIT = 16 * 1024  # metadata and delimiter must lie within it

_FRAMING = {"content-length", "transfer-encoding", "connection"}
_CHUNKS_HELD = 16  # beyond it the function is held back until the client has read


class FunctionFailed(Exception):
    """The function gave no usable answer. The text is for the log, never for the client."""


class StreamCut(Exception):
    """The function's answer broke off after its status had been sent. The text is for the log."""


class State(Enum):
    """Where an invocation stands towards the function; each step is taken once, in this order."""

    QUEUED = auto()
    RUNNING = auto()
    RESPONDING = auto()
    DONE = auto()


@dataclass(frozen=True)
class Prelude:
    """Status and headers that a streamed answer begins with."""

    status: int
    headers: tuple[tuple[str, str], ...]


class Invocation:
    """An event on its way through a function, and the answer on its way back. `failure` is a text for the log."""

    def __init__(self, request_id: str, event: bytes) -> None:
        self.id = request_id
        self.attempt = str(uuid4())
        self.event = event
        self.state = State.QUEUED
        self.abandoned = False
        self.failure: str | None = None
        self.on_abandon: Callable[[], None] = lambda: None
        self._head = bytearray()
        self._prelude: asyncio.Future[Prelude] = asyncio.get_running_loop().create_future()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(_CHUNKS_HELD)

    # The function's side

    async def feed(self, data: bytes) -> None:
        """Hands bytes of the answer on. Waits while the client is slow; drops them when nobody waits any more."""
        if not self._prelude.done():
            self._head += data
            data = self._begin()
        if data:
            try:
                await self._chunks.put(data)
            except asyncio.QueueShutDown:
                return  # abandoned, or failed meanwhile

    def finish(self) -> None:
        """The answer is whole."""
        if not self._prelude.done():
            self.fail("the answer has no metadata prelude; a STREAM method needs one")
        self._chunks.shutdown()

    def fail(self, reason: str) -> None:
        """The answer will not come, or breaks off here."""
        self.failure = self.failure or reason
        if not self._prelude.done():
            self._prelude.set_exception(FunctionFailed(reason))
        self._chunks.shutdown()

    def _begin(self) -> bytes:
        """Takes the prelude once it is complete; returns the bytes that follow it."""
        end = self._head.find(DELIMITER, 0, PRELUDE_LIMIT)
        if end < 0:
            if len(self._head) >= PRELUDE_LIMIT:
                self.fail("no metadata prelude within the first 16 KiB of the answer")
            return b""
        try:
            self._prelude.set_result(parse_prelude(bytes(self._head[:end])))
        except ValueError as error:
            self.fail(f"bad metadata prelude: {error}")
            return b""
        return bytes(self._head[end + len(DELIMITER) :])

    # The client's side

    async def prelude(self) -> Prelude:
        """Waits for status and headers. Raises FunctionFailed."""
        return await self._prelude

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, as it arrives. Raises StreamCut when it breaks off."""
        while True:
            try:
                yield await self._chunks.get()
            except asyncio.QueueShutDown:
                break
        if self.failure is not None:
            raise StreamCut(self.failure)

    def abandon(self) -> None:
        """Nobody waits for the rest."""
        self.abandoned = True
        if not self._prelude.cancel() and not self._prelude.cancelled():
            self._prelude.exception()  # asyncio logs an exception that was never looked at
        self._chunks.shutdown(immediate=True)
        self.on_abandon()


def parse_prelude(metadata: bytes) -> Prelude:
    """Status and headers out of the metadata. Raises ValueError where API Gateway answers 502."""
    try:
        fields = json.loads(metadata)
    except ValueError as error:
        raise ValueError("not JSON") from error
    status = fields.get("statusCode") if isinstance(fields, dict) else None
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError("no statusCode between 200 and 599")
    headers = tuple(_headers(fields))
    for name, value in headers:
        if name.lower() in _FRAMING:
            raise ValueError(f"header {name} belongs to API Gateway")
        if any(character in name + value for character in "\r\n\0"):
            raise ValueError("a header with a line break")
    return Prelude(status, headers)


def _headers(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Single and multi-value headers in one list; where both name the same header, the multi-value one counts."""
    multi = fields.get("multiValueHeaders") or {}
    several = {name.lower() for name in multi}
    single = [(k, str(v)) for k, v in (fields.get("headers") or {}).items() if k.lower() not in several]
    repeated = [(name, str(value)) for name, values in multi.items() for value in values]
    cookies = [("Set-Cookie", str(cookie)) for cookie in fields.get("cookies") or []]
    return single + repeated + cookies
