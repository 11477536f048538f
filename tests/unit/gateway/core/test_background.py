import gc
import threading
import time
import weakref

import pytest

from gateway.core.background import begin


def test_what_the_work_returns_is_there_when_it_is_done() -> None:
    assert begin(lambda: 7, "work").result(timeout=1) == 7


def test_what_the_work_raises_is_raised_where_it_is_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        begin(lambda: 1 // 0, "work").result(timeout=1)


def test_the_work_goes_on_while_nobody_waits() -> None:
    free, began = threading.Event(), time.monotonic()
    work = begin(lambda: free.wait(5), "work")
    with pytest.raises(TimeoutError):
        work.result(timeout=0.05)
    assert time.monotonic() - began < 0.5
    free.set()
    assert work.result(timeout=1)


def test_the_work_has_a_named_thread_that_does_not_hold_the_interpreter_up() -> None:
    thread = begin(threading.current_thread, "named").result(timeout=1)
    assert (thread.name, thread.daemon) == ("named", True)


class Witness:
    """Something that a failed piece of work held."""


def test_an_error_is_free_without_the_garbage_collector() -> None:
    seen: list[weakref.ref[Witness]] = []

    def work() -> None:
        witness = Witness()
        seen.append(weakref.ref(witness))
        raise ZeroDivisionError

    gc.disable()
    try:
        done = begin(work, "work")
        with pytest.raises(ZeroDivisionError) as caught:
            done.result(timeout=1)
        del done, caught
        deadline = time.monotonic() + 1
        while seen[0]() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert seen[0]() is None
    finally:
        gc.enable()
