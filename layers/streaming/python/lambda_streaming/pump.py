"""Reads a blocking source in a thread, so that the consumer can send keep-alives and enforce a deadline."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from threading import Thread

from .buffer import Buffer, BufferClosed

_JOIN_TIMEOUT_SECONDS = 1.0


class DeadlineReached(Exception):
    """The source had not ended at the deadline."""


def _noop() -> None:
    return None


def pump(
    source: Iterable[bytes],
    *,
    stop: Callable[[], None] = _noop,
    idle: float | None = None,
    on_idle: Callable[[], bytes | None] = _noop,
    deadline: float | None = None,
    max_queued: int = 64,
    deadline_error: Exception | None = None,
    clock: Callable[[], float] = time.monotonic,
    start_immediately: bool = False,
) -> Generator[bytes]:
    """Yields the source's bytes in order, then raises its exception, if any. Joins items that are queued together.

    The reader thread starts at the first `next()`, or now with `start_immediately`. It queues at most `max_queued`
    items.

    After every `idle` seconds without an item, yields the result of `on_idle`. At `deadline`, a value of `clock`,
    raises `deadline_error` or DeadlineReached. However the generator ends, `close()` included, it calls `stop` once;
    `stop` must unblock a reader that waits in the source. The reader thread closes the source.
    """
    reader = _SourceReader(source, max_queued)
    timeouts = _Timeouts(idle, deadline, deadline_error or DeadlineReached(), clock)
    items = _consume(reader, stop, timeouts, on_idle)
    # Enters the generator's `try`, so that a close() before the first item stops the source too.
    next(items)
    if start_immediately:
        reader.start()
    return items


@dataclass(frozen=True)
class _Timeouts:
    idle: float | None
    deadline: float | None
    deadline_error: Exception
    clock: Callable[[], float]

    def next_wait(self) -> tuple[float | None, bool]:
        """Returns the seconds to wait for the next item, and whether that is the idle time. Raises deadline_error."""
        if self.deadline is None:
            return self.idle, True
        remaining = self.deadline - self.clock()
        if remaining <= 0:
            raise self.deadline_error
        if self.idle is not None and self.idle < remaining:
            return self.idle, True
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


def _consume(
    reader: _SourceReader, stop: Callable[[], None], timeouts: _Timeouts, on_idle: Callable[[], bytes | None]
) -> Generator[bytes]:
    try:
        # pump() takes this item.
        yield b""
        reader.start()
        while (item := _next_item(reader, timeouts, on_idle)) is not None:
            if item:
                yield item
        reader.raise_error()
    finally:
        # Shutting down a socket that is already closed raises, and must not replace the original exception.
        with contextlib.suppress(Exception):
            stop()
        reader.end()


def _next_item(reader: _SourceReader, timeouts: _Timeouts, on_idle: Callable[[], bytes | None]) -> bytes | None:
    seconds, is_idle = timeouts.next_wait()
    item = reader.take(seconds)
    return on_idle() or b"" if item == b"" and is_idle else item
