import itertools
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_streaming import DeadlineReached, pump


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    yield
    assert readers() == 0


def readers() -> int:
    return [thread.name for thread in threading.enumerate()].count("lambda-streaming-pump")


class Blocking:
    """A source that gives its items, then blocks until it is stopped, as a read from a socket does."""

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
            self.stopped.wait(10)
        finally:
            self.closed_in.append(threading.current_thread())


@settings(database=None, deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=20), max_size=200), st.integers(1, 70))
def test_every_byte_comes_out_in_order(items: list[bytes], most_waiting: int) -> None:
    assert b"".join(pump(iter(items), most_waiting=most_waiting)) == b"".join(items)


def test_an_error_of_the_source_comes_after_all_its_items() -> None:
    def source() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        raise ConnectionResetError

    came: list[bytes] = []

    with pytest.raises(ConnectionResetError):
        came.extend(pump(source()))
    assert b"".join(came) == b"ab"


def test_an_item_is_handed_on_before_the_next_is_produced() -> None:
    taken = threading.Event()

    def source() -> Iterator[bytes]:
        yield b"a"
        yield b"in time" if taken.wait(5) else b"too late"

    items = pump(source())

    assert next(items) == b"a"
    taken.set()
    assert list(items) == [b"in time"]


def test_no_thread_runs_and_nothing_is_read_before_the_first_item_is_asked_for() -> None:
    source = Blocking(b"a")

    items = pump(source, stop=source.stop)

    assert readers() == 0
    assert next(items) == b"a"
    assert readers() == 1
    _close(items)


def test_a_reader_that_starts_at_once_runs_before_the_first_item_is_asked_for() -> None:
    source = Blocking(b"a")

    items = pump(source, stop=source.stop, at_once=True)

    assert readers() == 1
    _close(items)
    assert source.stops == 1


def test_what_waits_together_comes_together() -> None:
    all_read = threading.Event()

    def source() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        yield b"c"
        all_read.set()

    items = pump(source(), at_once=True)
    all_read.wait(5)

    assert list(items) == [b"abc"]


def test_the_reader_waits_for_a_slow_consumer() -> None:
    produced = itertools.count()
    items = pump((b"%d" % next(produced) for _ in range(1000)), most_waiting=4)

    next(items)
    time.sleep(0.05)

    assert next(produced) <= 4 + 4 + 2  # those taken, those waiting, one in hand, and this one
    _close(items)


def test_silence_is_filled_and_the_stream_goes_on() -> None:
    more = threading.Event()
    words = iter([b"first", None, b""])

    def source() -> Iterator[bytes]:
        yield b"a"
        more.wait(5)
        yield b"b"

    def on_idle() -> bytes | None:
        word = next(words, b"last")
        if word == b"last":
            more.set()
        return word

    began = time.monotonic()
    assert list(pump(source(), idle=0.03, on_idle=on_idle)) == [b"a", b"first", b"last", b"b"]
    assert time.monotonic() - began >= 0.12


def test_a_steady_source_is_never_idle() -> None:
    def source() -> Iterator[bytes]:
        for _ in range(5):
            time.sleep(0.02)
            yield b"a"

    assert list(pump(source(), idle=0.5, on_idle=lambda: b"idle")) == [b"a"] * 5


def test_the_deadline_ends_a_silent_source() -> None:
    source, began = Blocking(b"a"), time.monotonic()

    items = pump(source, stop=source.stop, deadline=began + 0.1)

    assert next(items) == b"a"
    with pytest.raises(DeadlineReached):
        next(items)
    assert 0.1 <= time.monotonic() - began < 1
    assert source.stops == 1


def test_the_deadline_ends_a_source_that_never_pauses() -> None:
    now = itertools.count()

    items = pump(itertools.repeat(b"a"), deadline=10, clock=lambda: float(next(now)))

    with pytest.raises(DeadlineReached):
        list(itertools.islice(items, 100))


def test_words_in_silence_do_not_put_off_the_deadline() -> None:
    source, began = Blocking(), time.monotonic()
    items = pump(source, stop=source.stop, idle=0.04, on_idle=lambda: b"idle", deadline=began + 0.1)

    came: list[bytes] = []
    with pytest.raises(DeadlineReached):
        came.extend(items)
    assert came
    assert set(came) == {b"idle"}
    assert time.monotonic() - began < 1


def test_close_wakes_a_blocked_reader_and_closes_the_source_in_its_thread() -> None:
    source = Blocking(b"a")
    items = pump(source, stop=source.stop)
    next(items)

    _close(items)
    _close(items)

    assert source.stops == 1
    assert [thread.name for thread in source.closed_in] == ["lambda-streaming-pump"]


def test_close_ends_a_reader_that_is_blocked_on_the_full_queue() -> None:
    source = Blocking(*[b"a"] * 100)
    read = iter(source)  # kept, so that garbage collection does not close it
    items = pump(read, stop=source.stop, most_waiting=2)
    next(items)
    time.sleep(0.02)

    _close(items)

    assert source.stops == 1
    assert [thread.name for thread in source.closed_in] == ["lambda-streaming-pump"]
    assert list(read) == []


def test_close_before_the_first_item_stops_and_closes_the_source() -> None:
    stops: list[str] = []

    class Source:
        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            raise AssertionError("nobody asked for an item")

        def close(self) -> None:
            stops.append("closed")

    _close(pump(Source(), stop=lambda: stops.append("stopped")))

    assert stops == ["stopped", "closed"]


def test_an_abandoned_pump_ends_its_reader() -> None:
    source = Blocking(b"a")
    items = pump(source, stop=source.stop)
    next(items)

    del items

    assert (source.stops, len(source.closed_in)) == (1, 1)


@pytest.mark.parametrize("items", [[], [b"a"]])
def test_stop_is_called_once_at_a_normal_end(items: list[bytes]) -> None:
    stops: list[None] = []

    assert list(pump(iter(items), stop=lambda: stops.append(None))) == items

    assert stops == [None]


def test_a_stop_that_fails_does_not_spoil_the_end() -> None:
    def stop() -> None:
        raise OSError("not connected")

    assert list(pump(iter([b"a"]), stop=stop)) == [b"a"]


def test_a_reader_blocked_in_recv_ends_when_stop_shuts_the_socket_down() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        items = pump(iter(lambda: ours.recv(100), b""), stop=lambda: ours.shutdown(socket.SHUT_RDWR))
        theirs.sendall(b"hello")

        assert next(items) == b"hello"
        began = time.monotonic()
        _close(items)

    assert time.monotonic() - began < 0.5


def test_a_reader_that_nothing_wakes_holds_the_end_up_for_a_second_only() -> None:
    source = Blocking(b"a")
    items = pump(source)
    next(items)

    began = time.monotonic()
    _close(items)

    assert 0.9 <= time.monotonic() - began < 2
    source.stop()
    _until(lambda: bool(source.closed_in))


def _close(items: Iterator[bytes]) -> None:
    cast("Generator[bytes]", items).close()


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 2
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
