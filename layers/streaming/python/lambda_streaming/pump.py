"""Reads a blocking source in a thread, so that the consumer can send keep-alives and enforce a deadline."""

import contextlib
import time
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Self

from .buffer import Buffer, BufferClosed

_JOIN_TIMEOUT_SECONDS = 1.0


class DeadlineReached(Exception):
    """The source had not ended at the deadline."""


def _noop() -> None:
    return None


class Pump:
    """Iterates over the source's bytes in order, then raises its exception, if any. Joins items queued together.

    A thread reads the source: from `start()` or from the first item on. It queues at most `max_queued` items.

    After every `idle` seconds without an item, the pump yields the result of `on_idle`. At `deadline`, a value of
    `clock`, it raises `deadline_error` or DeadlineReached. At its end, which may be an exception or `close()`, it calls
    `stop` once, unless the source ended in the grace of `close()`. `stop` must unblock a reader that waits in the
    source. The reader thread closes the source.
    """

    # Until __init__ has finished, close() has nothing to end.
    _closed = True

    def __init__(
        self,
        source: Iterable[bytes],
        *,
        stop: Callable[[], None] = _noop,
        idle: float | None = None,
        on_idle: Callable[[], bytes | None] = _noop,
        deadline: float | None = None,
        max_queued: int = 64,
        deadline_error: Exception | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = _SourceReader(source, max_queued)
        self._stop = stop
        self._idle = idle
        self._on_idle = on_idle
        self._deadline = deadline
        self._deadline_error = deadline_error or DeadlineReached()
        self._clock = clock
        self._closed = False

    def start(self) -> None:
        """Starts the reader thread. Does nothing after close()."""
        if not self._closed:
            self._reader.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._closed:
            raise StopIteration
        try:
            self.start()
            while (item := self._next_item()) == b"":
                pass
            if item is not None:
                return item
            self._reader.raise_error()
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def close(self, grace: float = 0) -> None:
        """Stops reading. A source that ends within `grace` seconds is not stopped. Further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        if not self._reader.drain(grace):
            # Shutting down a socket that is already closed raises, and must not replace the original exception.
            with contextlib.suppress(Exception):
                self._stop()
        self._reader.end()

    def __del__(self) -> None:
        self.close()

    def _next_item(self) -> bytes | None:
        seconds, is_idle = self._next_wait()
        item = self._reader.take(seconds)
        return self._on_idle() or b"" if item == b"" and is_idle else item

    def _next_wait(self) -> tuple[float | None, bool]:
        """Returns the seconds to wait for the next item, and whether that is the idle time. Raises deadline_error."""
        if self._deadline is None:
            return self._idle, True
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise self._deadline_error
        if self._idle is not None and self._idle < remaining:
            return self._idle, True
        return remaining, False


class _SourceReader:
    """Reads the source in a thread and closes it there."""

    def __init__(self, source: Iterable[bytes], max_queued: int) -> None:
        self._source = iter(source)
        self._buffer = Buffer(max_queued)
        self._thread = Thread(target=self._read, name="lambda-streaming-pump", daemon=True)
        self.take = self._buffer.take
        self.raise_error = self._buffer.raise_error

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def drain(self, seconds: float) -> bool:
        """Reads and drops what is left. Whether the source has ended within this time."""
        until = time.monotonic() + seconds
        while self._thread.ident is not None and (remaining := until - time.monotonic()) > 0:
            if self.take(remaining) is None:
                return True
        return False

    def end(self) -> None:
        """Unblocks a thread that waits on the full buffer, and joins it."""
        self._buffer.close()
        if self._thread.ident is None:
            self._close_source()
        else:
            self._thread.join(_JOIN_TIMEOUT_SECONDS)

    def _read(self) -> None:
        # No local variable stores the error: its traceback references this frame, and only the garbage collector
        # would free that cycle.
        try:
            for item in self._source:
                if item:
                    self._buffer.put(item)
        except BufferClosed:
            self._finish(None)
        # The consumer raises the error again.
        except BaseException as raised:  # noqa: BLE001
            self._finish(raised)
        else:
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        self._close_source()
        self._buffer.end(error)

    def _close_source(self) -> None:
        close = getattr(self._source, "close", _noop)
        # The consumer has ended, so nothing can handle an exception.
        with contextlib.suppress(Exception):
            close()
