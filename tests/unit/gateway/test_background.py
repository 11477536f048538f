import threading
import time

import pytest

from gateway.background import begin


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
