"""Queues buffered calls: limits how many run at once, how many wait, and for how long."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tools.local.apigateway.local_errors import QueueLimit

MAX_WAITING = 256
MAX_WAIT_S = 20.0
# Routes that call TokenHub, so that each call may take 25 seconds.
_SLOW_SUFFIXES = ("/heartbeat", "/models")
_SLOW_SLOTS = 2


class CallQueue:
    """Runs at most `slots` calls at once. The others wait for a slot in order."""

    def __init__(self, slots: int, max_waiting: int = MAX_WAITING, max_wait_s: float = MAX_WAIT_S) -> None:
        self._slots = slots
        self._free = asyncio.Semaphore(slots)
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Holds a slot during the block. Raises QueueLimit if none becomes free in time."""
        await self._wait()
        try:
            yield
        finally:
            self._free.release()

    async def _wait(self) -> None:
        if self._waiting >= self._max_waiting:
            raise QueueLimit(self._slots)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise QueueLimit(self._slots) from None
        finally:
            self._waiting -= 1


class CallQueues:
    """One queue for the routes that call TokenHub, which may take 25 seconds, and one for all others."""

    def __init__(self, slots: int | None = None) -> None:
        self._quick = CallQueue(slots or max(4, 2 * (os.cpu_count() or 1)))
        self._slow = CallQueue(_SLOW_SLOTS)

    def for_route(self, route_path: str) -> CallQueue:
        """Returns the queue of a route, given by its path in the template."""
        return self._slow if route_path.endswith(_SLOW_SUFFIXES) else self._quick
