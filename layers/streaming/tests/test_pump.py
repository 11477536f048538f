import itertools
import socket
import threading
import time
from collections.abc import Generator, Iterator
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_streaming import DeadlineReached, Pump
from waiting import wait_until


@pytest.fixture(autouse=True)
def assert_no_reader_left() -> Iterator[None]:
    yield
    assert wait_until(lambda: reader_count() == 0)


def reader_count() -> int:
    return [thread.name for thread in threading.enumerate()].count("lambda-streaming-pump")


class Blocking:
    """Yields its items, then blocks until it is stopped, like a read from a socket."""

    def __init__(self, *items: bytes) -> None:
        self.stopped = threading.Event()
        self.stops = 0
        self.closed_in: list[threading.Thread] = []
        self._items = items

    def stop(self) -> None:
        self.stops += 1
        self.stopped.set()

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._items
            self.stopped.wait(30)
        finally:
            self.closed_in.append(threading.current_thread())


class AdvancedClock:
    """The seconds since its creation, or later after `advance_to`. A test sets it close to a deadline."""

    def __init__(self) -> None:
        self._zero = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._zero

    def advance_to(self, seconds: float) -> None:
        self._zero = time.monotonic() - seconds


@settings(database=None, deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=20), max_size=200), st.integers(1, 70))
def test_yields_every_byte_in_order(items: list[bytes], max_queued: int) -> None:
    assert b"".join(Pump(iter(items), max_queued=max_queued)) == b"".join(items)


def test_raises_a_source_error_after_all_items() -> None:
    def source() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        raise ConnectionResetError

    received: list[bytes] = []

    with pytest.raises(ConnectionResetError):
        received.extend(Pump(source()))
    assert b"".join(received) == b"ab"


def test_yields_an_item_before_the_next_is_produced() -> None:
    taken = threading.Event()

    def source() -> Iterator[bytes]:
        yield b"a"
        yield b"in time" if taken.wait(30) else b"too late"

    items = Pump(source())

    assert next(items) == b"a"
    taken.set()
    assert list(items) == [b"in time"]


def test_reads_nothing_before_the_first_next() -> None:
    source = Blocking(b"a")

    items = Pump(source, stop=source.stop)

    assert reader_count() == 0
    assert next(items) == b"a"
    assert reader_count() == 1
    _close(items)


def test_start_starts_the_reader_before_the_first_item() -> None:
    source = Blocking(b"a")

    items = Pump(source, stop=source.stop)
    items.start()

    assert reader_count() == 1
    _close(items)
    assert source.stops == 1


def test_joins_queued_items() -> None:
    all_read = threading.Event()

    def source() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        yield b"c"
        all_read.set()

    items = Pump(source())
    items.start()
    all_read.wait(30)

    assert list(items) == [b"abc"]


def test_reader_waits_for_a_slow_consumer() -> None:
    produced = itertools.count()
    items = Pump((b"%d" % next(produced) for _ in range(1000)), max_queued=4)

    next(items)
    time.sleep(0.05)

    # 4 taken, 4 queued, 1 that waits for room, and the one produced here.
    assert next(produced) <= 4 + 4 + 2
    _close(items)


def test_yields_keep_alives_during_silence() -> None:
    more = threading.Event()
    keep_alives = iter([b"first", None, b"", b"last"])
    received: list[bytes] = []

    def source() -> Iterator[bytes]:
        yield b"a"
        more.wait(30)
        yield b"b"

    def on_idle() -> bytes | None:
        # A slow reader thread is silent before the first item and after the last keep-alive too.
        if not received or more.is_set():
            return None
        keep_alive = next(keep_alives)
        if keep_alive == b"last":
            more.set()
        return keep_alive

    began = time.monotonic()
    for item in Pump(source(), idle=0.03, on_idle=on_idle):
        received.append(item)  # noqa: PERF402 (on_idle reads the list meanwhile)
    assert received == [b"a", b"first", b"last", b"b"]
    assert time.monotonic() - began >= 0.12


def test_steady_source_is_never_idle() -> None:
    def source() -> Iterator[bytes]:
        for _ in range(5):
            time.sleep(0.02)
            yield b"a"

    assert list(Pump(source(), idle=10, on_idle=lambda: b"idle")) == [b"a"] * 5


def test_deadline_ends_a_silent_source() -> None:
    source, clock = Blocking(b"a"), AdvancedClock()

    items = Pump(source, stop=source.stop, deadline=60, clock=clock)

    assert next(items) == b"a"
    clock.advance_to(59.9)
    began = time.monotonic()
    with pytest.raises(DeadlineReached):
        next(items)
    assert clock() >= 60
    assert time.monotonic() - began < 10
    assert source.stops == 1


def test_deadline_ends_a_source_that_never_pauses() -> None:
    now = itertools.count()

    items = Pump(itertools.repeat(b"a"), deadline=10, clock=lambda: float(next(now)))

    with pytest.raises(DeadlineReached):
        list(itertools.islice(items, 100))


def test_keep_alives_do_not_extend_the_deadline() -> None:
    source, clock = Blocking(), AdvancedClock()
    items = Pump(source, stop=source.stop, idle=0.04, on_idle=lambda: b"idle", deadline=60, clock=clock)
    assert next(items) == b"idle"

    clock.advance_to(59.9)
    began = time.monotonic()
    received: list[bytes] = []
    with pytest.raises(DeadlineReached):
        received.extend(items)
    assert set(received) <= {b"idle"}
    assert time.monotonic() - began < 10


def test_close_unblocks_the_reader_and_closes_the_source_in_its_thread() -> None:
    source = Blocking(b"a")
    items = Pump(source, stop=source.stop)
    next(items)

    _close(items)
    _close(items)

    assert source.stops == 1
    assert wait_until(lambda: source.closed_in)
    assert [thread.name for thread in source.closed_in] == ["lambda-streaming-pump"]


def test_close_unblocks_a_reader_of_a_full_queue() -> None:
    source = Blocking(*[b"a"] * 100)
    # The reference prevents garbage collection from closing the iterator.
    iterator = iter(source)
    items = Pump(iterator, stop=source.stop, max_queued=2)
    next(items)
    time.sleep(0.02)

    _close(items)

    assert source.stops == 1
    assert wait_until(lambda: source.closed_in)
    assert [thread.name for thread in source.closed_in] == ["lambda-streaming-pump"]
    assert list(iterator) == []


def test_garbage_collected_pump_ends_its_reader() -> None:
    source = Blocking(b"a")
    items = Pump(source, stop=source.stop)
    next(items)

    del items

    assert source.stops == 1
    assert wait_until(lambda: source.closed_in)


@pytest.mark.parametrize("items", [[], [b"a"]])
def test_calls_stop_once_at_a_normal_end(items: list[bytes]) -> None:
    stops: list[None] = []

    assert list(Pump(iter(items), stop=lambda: stops.append(None))) == items

    assert stops == [None]


def test_ignores_an_exception_of_stop() -> None:
    def stop() -> None:
        raise OSError("not connected")

    assert list(Pump(iter([b"a"]), stop=stop)) == [b"a"]


def test_stop_unblocks_a_reader_in_recv() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        items = Pump(iter(lambda: ours.recv(100), b""), stop=lambda: ours.shutdown(socket.SHUT_RDWR))
        theirs.sendall(b"hello")

        assert next(items) == b"hello"
        _close(items)

        # The sockets are still open.
        assert wait_until(lambda: reader_count() == 0)


def test_close_waits_one_second_for_a_blocked_reader() -> None:
    source = Blocking(b"a")
    items = Pump(source)
    next(items)

    began = time.monotonic()
    _close(items)

    assert 0.9 <= time.monotonic() - began < 10
    source.stop()
    assert wait_until(lambda: source.closed_in)


def _close(items: Iterator[bytes]) -> None:
    cast("Generator[bytes]", items).close()
