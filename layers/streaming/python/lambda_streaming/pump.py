"""Reads a blocking source in a thread, so that silence can be filled and a deadline kept while it blocks."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from threading import Thread

from .buffer import Buffer, Closed

_JOIN_SECONDS = 1.0


class DeadlineReached(Exception):
    """The source was still open when its time was up."""


def _nothing() -> None:
    return None


def pump(
    source: Iterable[bytes],
    *,
    stop: Callable[[], None] = _nothing,
    idle: float | None = None,
    on_idle: Callable[[], bytes | None] = _nothing,
    deadline: float | None = None,
    most_waiting: int = 64,
    too_late: Exception | None = None,
    clock: Callable[[], float] = time.monotonic,
    at_once: bool = False,
) -> Generator[bytes]:
    """The source's bytes in order, its exception after them; what waits together comes together.

    The reader's thread starts when the first item is asked for, or `at_once`.

    After every `idle` seconds of waiting for an item it yields what `on_idle` returns, and at `deadline`, a value
    of `clock`, it raises `too_late`, or DeadlineReached. However it ends, `close()` included, `stop` is called once
    and must wake a reader that is blocked in the source; the source is closed in the reader's thread.
    """
    reader = _Reader(source, most_waiting)
    items = _items(reader, stop, _Waiting(idle, deadline, too_late or DeadlineReached(), clock), on_idle)
    next(items)  # into its try, so that a close() before the first item stops the source too
    if at_once:
        reader.start()
    return items


@dataclass(frozen=True)
class _Waiting:
    idle: float | None
    deadline: float | None
    too_late: Exception
    clock: Callable[[], float]

    def limit(self) -> tuple[float | None, bool]:
        """Seconds to wait for the next item, and whether that is the idle time. Raises when it is too late."""
        if self.deadline is None:
            return self.idle, True
        left = self.deadline - self.clock()
        if left <= 0:
            raise self.too_late
        if self.idle is not None and self.idle < left:
            return self.idle, True
        return left, False


class _Reader:
    """Owns the source from its first item to its close."""

    def __init__(self, source: Iterable[bytes], most_waiting: int) -> None:
        self._source = iter(source)
        self._buffer = Buffer(most_waiting)
        self._thread = Thread(target=self._read, name="lambda-streaming-pump", daemon=True)
        self.take = self._buffer.take
        self.raise_error = self._buffer.raise_error

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def end(self) -> None:
        """Wakes a reader that is blocked on the full buffer, and waits for its end."""
        self._buffer.close()
        if self._thread.ident is None:
            self._close_source()
        else:
            self._thread.join(_JOIN_SECONDS)

    def _read(self) -> None:
        # No local variable holds the error: its traceback holds this frame, and only the garbage collector would
        # free them then.
        try:
            for item in self._source:
                if item:
                    self._buffer.put(item)
        except Closed:
            self._finish(None)  # nobody takes the items any more
        except BaseException as raised:  # noqa: BLE001 - raised again where the items are read
            self._finish(raised)
        else:
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        self._close_source()
        self._buffer.end(error)

    def _close_source(self) -> None:
        close = getattr(self._source, "close", _nothing)
        with contextlib.suppress(Exception):  # nobody is left to hear of it
            close()


def _items(
    reader: _Reader, stop: Callable[[], None], waiting: _Waiting, on_idle: Callable[[], bytes | None]
) -> Generator[bytes]:
    try:
        yield b""  # taken by pump()
        reader.start()
        while (item := _next(reader, waiting, on_idle)) is not None:
            if item:
                yield item
        reader.raise_error()
    finally:
        with contextlib.suppress(Exception):  # waking a socket that is closed already fails; the end stands
            stop()
        reader.end()


def _next(reader: _Reader, waiting: _Waiting, on_idle: Callable[[], bytes | None]) -> bytes | None:
    seconds, is_idle = waiting.limit()
    item = reader.take(seconds)
    return on_idle() or b"" if item == b"" and is_idle else item
