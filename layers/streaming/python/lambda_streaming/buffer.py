"""A bounded buffer between a reader thread and a writer thread. The writer takes all queued items in one call."""

from collections import deque
from threading import Condition

# A send costs the same for one frame as for a hundred, so one take joins up to this many bytes.
_MAX_JOINED_BYTES = 64 * 1024


class BufferClosed(Exception):
    """The writer closed the buffer."""


class Buffer:
    """Queues at most `max_items`. Cheaper than queue.Queue: a thread is notified only when it waits."""

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        self._items: deque[bytes] = deque()
        self._changed = Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None

    def put(self, item: bytes) -> None:
        """Adds an item, waiting while the buffer is full. Raises BufferClosed."""
        with self._changed:
            while len(self._items) >= self._max_items and not self._closed:
                self._changed.wait()
            if self._closed:
                raise BufferClosed
            self._items.append(item)
            if len(self._items) == 1:
                self._changed.notify()

    def end(self, error: BaseException | None = None) -> None:
        """Marks the end of the items. `raise_error` raises `error` later."""
        with self._changed:
            # Nobody raises the error of a closed buffer. Keeping it would keep the frames of its traceback.
            self._ended, self._error = True, None if self._closed else error
            self._changed.notify()

    def take(self, timeout: float | None) -> bytes | None:
        """Returns the queued items joined, b"" after `timeout` seconds without one, None after the last one."""
        with self._changed:
            if not self._items and not self._ended:
                self._changed.wait(timeout)
            if not self._items:
                return None if self._ended else b""
            if len(self._items) >= self._max_items:
                self._changed.notify()
            return self._pop_joined()

    def raise_error(self) -> None:
        """Raises the error passed to `end`, if any, and drops the reference to it."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None

    def close(self) -> None:
        """Discards the queued items. A waiting `put` and all later ones raise BufferClosed."""
        with self._changed:
            self._closed, self._error = True, None
            self._items.clear()
            self._changed.notify()

    def _pop_joined(self) -> bytes:
        first = self._items.popleft()
        if not self._items:
            return first
        joined = bytearray(first)
        while self._items and len(joined) < _MAX_JOINED_BYTES:
            joined += self._items.popleft()
        return bytes(joined)
