"""Closing a pump with a grace: a source that ends by itself in that time is not stopped."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from lambda_streaming import Pump
from waiting import wait_until


class Source:
    """Yields an item, waits, yields another one and ends."""

    def __init__(self, error: type[Exception] | None = None) -> None:
        self.go_on = threading.Event()
        self.stops = 0
        self.ended = False
        self._error = error

    def stop(self) -> None:
        self.stops += 1
        self.go_on.set()

    def __iter__(self) -> Iterator[bytes]:
        yield b"first"
        self.go_on.wait(30)
        yield from [b"rest"] * 100
        if self._error is not None:
            raise self._error()
        self.ended = True


def test_reads_a_source_that_ends_in_the_grace_to_its_end() -> None:
    source = Source()
    pump = Pump(source, stop=source.stop, max_queued=2)
    assert next(pump) == b"first"
    source.go_on.set()

    pump.close(grace=30)

    assert (source.stops, source.ended) == (0, True)
    assert list(pump) == []


def test_stops_a_source_that_does_not_end_in_the_grace() -> None:
    source = Source()
    pump = Pump(source, stop=source.stop)
    assert next(pump) == b"first"
    started = time.monotonic()

    pump.close(grace=1)

    assert 1 <= time.monotonic() - started < 10
    assert source.stops == 1


def test_stops_a_source_that_never_stops_sending() -> None:
    stopped = threading.Event()

    def pings() -> Iterator[bytes]:
        while not stopped.is_set():
            yield b"ping"

    pump = Pump(pings(), stop=stopped.set)
    next(pump)
    started = time.monotonic()

    pump.close(grace=1)

    assert 1 <= time.monotonic() - started < 10


def test_drops_an_error_in_the_grace() -> None:
    source = Source(ConnectionResetError)
    pump = Pump(source, stop=source.stop)
    assert next(pump) == b"first"
    source.go_on.set()

    pump.close(grace=30)

    assert list(pump) == []


@pytest.mark.parametrize("grace", [0, 30])
def test_an_error_after_closing_is_freed_without_the_garbage_collector(grace: float) -> None:
    source = Source(ConnectionResetError)
    freed = weakref.ref(source)
    pump = Pump(source, stop=source.stop)
    assert next(pump) == b"first"
    source.go_on.set()
    gc.collect()
    gc.disable()
    try:
        pump.close(grace=grace)
        del pump, source
        # close() waits a second for the reader thread, which has a reference.
        assert wait_until(lambda: freed() is None)
    finally:
        gc.enable()
