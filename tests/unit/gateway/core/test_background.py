import gc
import threading
import time
import weakref

import pytest

from gateway.core.background import begin
from tests.rehearsal import wait_until


def test_result_returns_the_result_of_the_work() -> None:
    assert begin(lambda: 7, "work").result(timeout=30) == 7


def test_result_raises_the_error_of_the_work() -> None:
    with pytest.raises(ZeroDivisionError):
        begin(lambda: 1 // 0, "work").result(timeout=30)


def test_work_continues_while_nobody_waits() -> None:
    free, began = threading.Event(), time.monotonic()
    work = begin(lambda: free.wait(30), "work")
    with pytest.raises(TimeoutError):
        work.result(timeout=0.05)
    assert time.monotonic() - began < 10
    free.set()
    assert work.result(timeout=30)


def test_runs_work_in_a_named_daemon_thread() -> None:
    thread = begin(threading.current_thread, "named").result(timeout=30)
    assert (thread.name, thread.daemon) == ("named", True)


class Witness:
    """Something that a failed piece of work held."""


def test_frees_an_error_without_the_garbage_collector() -> None:
    seen: list[weakref.ref[Witness]] = []

    def work() -> None:
        witness = Witness()
        seen.append(weakref.ref(witness))
        raise ZeroDivisionError

    gc.disable()
    try:
        done = begin(work, "work")
        with pytest.raises(ZeroDivisionError) as caught:
            done.result(timeout=30)
        del done, caught
        assert wait_until(lambda: seen[0]() is None)
    finally:
        gc.enable()
