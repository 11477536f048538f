"""A bounded buffer between a reader's thread and the one that writes: what waits is taken all at once."""

from collections import deque
from threading import Condition

_ENOUGH = 64 * 1024  # bytes that one take joins: a send costs the same for one frame and for a hundred


class Closed(Exception):
    """Nobody takes from the buffer any more."""


class Buffer:
    """At most `most` items. Cheaper than queue.Queue: each side wakes the other only when that one waits."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[bytes] = deque()
        self._changed = Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None

    def put(self, item: bytes) -> None:
        """Waits while the buffer is full. Raises Closed."""
        with self._changed:
            while len(self._items) >= self._most and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Closed
            self._items.append(item)
            if len(self._items) == 1:
                self._changed.notify()

    def end(self, error: BaseException | None = None) -> None:
        """No more items come."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()

    def take(self, seconds: float | None) -> bytes | None:
        """What waits, joined; b"" when nothing came in that time, None once all is taken and no more comes."""
        with self._changed:
            if not self._items and not self._ended:
                self._changed.wait(seconds)
            if not self._items:
                return None if self._ended else b""
            if len(self._items) >= self._most:
                self._changed.notify()
            return self._taken()

    def raise_error(self) -> None:
        """Raises the error that the items ended with, if any, and keeps it no longer."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None

    def close(self) -> None:
        """Wakes a put that waits, and refuses all others."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify()

    def _taken(self) -> bytes:
        first = self._items.popleft()
        if not self._items:
            return first
        joined = bytearray(first)
        while self._items and len(joined) < _ENOUGH:
            joined += self._items.popleft()
        return bytes(joined)
