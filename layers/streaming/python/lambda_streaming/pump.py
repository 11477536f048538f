"""Reads a blocking source in a thread, so that silence can be filled and a deadline kept while it blocks."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from queue import Empty, Queue, ShutDown
from threading import Thread

_JOIN_SECONDS = 1.0


class DeadlineReached(Exception):
    """The source was still open when its time was up."""


@dataclass(frozen=True)
class _End:
    error: BaseException | None


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
    clock: Callable[[], float] = time.monotonic,
) -> Generator[bytes]:
    """The source's items in order, its exception after them; no thread before the first item is asked for.

    After every `idle` seconds of waiting for an item it yields what `on_idle` returns, and at `deadline`, a value
    of `clock`, it raises DeadlineReached. However it ends, `close()` included, `stop` is called once and must wake a
    reader that is blocked in the source; the source is closed in the reader's thread.
    """
    reader = _Reader(source, most_waiting)
    items = _items(reader, stop, _Waiting(idle, deadline, clock), on_idle)
    next(items)  # into its try, so that a close() before the first item stops the source too
    return items


@dataclass(frozen=True)
class _Waiting:
    idle: float | None
    deadline: float | None
    clock: Callable[[], float]

    def limit(self) -> tuple[float | None, bool]:
        """Seconds to wait for the next item, and whether that is the idle time. DeadlineReached when too late."""
        if self.deadline is None:
            return self.idle, True
        left = self.deadline - self.clock()
        if left <= 0:
            raise DeadlineReached
        if self.idle is not None and self.idle < left:
            return self.idle, True
        return left, False


class _Reader:
    """Owns the source from its first item to its close."""

    def __init__(self, source: Iterable[bytes], most_waiting: int) -> None:
        self._source = iter(source)
        self._queue: Queue[bytes | _End] = Queue(most_waiting)
        self._thread = Thread(target=self._read, name="lambda-streaming-pump", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def get(self, seconds: float | None) -> bytes | _End:
        return self._queue.get(timeout=seconds)

    def end(self) -> None:
        """Wakes a reader that is blocked on the full queue, and waits for its end."""
        self._queue.shutdown(immediate=True)
        if self._thread.ident is None:
            self._close_source()
        else:
            self._thread.join(_JOIN_SECONDS)

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._source:
                self._queue.put(item)
        except ShutDown:
            pass  # nobody takes the items any more
        except BaseException as raised:  # noqa: BLE001 - raised again where the items are read
            error = raised
        self._close_source()
        with contextlib.suppress(ShutDown):
            self._queue.put(_End(error))

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
        while not isinstance(item := _next(reader, waiting, on_idle), _End):
            if item is not None:
                yield item
        if item.error is not None:
            raise item.error
    finally:
        with contextlib.suppress(Exception):  # waking a socket that is closed already fails; the end stands
            stop()
        reader.end()


def _next(reader: _Reader, waiting: _Waiting, on_idle: Callable[[], bytes | None]) -> bytes | _End | None:
    seconds, is_idle = waiting.limit()
    try:
        return reader.get(seconds)
    except Empty:
        return (on_idle() or None) if is_idle else None
