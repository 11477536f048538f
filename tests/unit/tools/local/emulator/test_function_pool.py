import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.rehearsal import wait_until
from tools.local.emulator.function_pool import AsynchronousCalls, FunctionPool, event_invoke_config


@dataclass
class Process:
    """A function's process as ministack has it: cold until it has started."""

    in_use: bool = True
    _cold: bool = True


@dataclass
class Ministack:
    """Takes a free process or starts one, like ministack without a bound. A start takes `start_s`.

    Each call of a process runs `during_call`."""

    pool: FunctionPool
    start_s: float = 0.0
    during_call: Callable[[], object] = lambda: None
    processes: list[Process] = field(default_factory=list)
    max_starting: int = 0

    def acquire(self) -> Process:
        free = [process for process in self.processes if not process.in_use]
        process = free[0] if free else Process()
        if not free:
            self.processes.append(process)
            self.max_starting = max(self.max_starting, sum(each._cold for each in self.processes))
        process.in_use = True
        return process

    def call(self) -> None:
        process = self.pool.acquire(lambda: self.processes, self.acquire)
        if process._cold:
            time.sleep(self.start_s)
            process._cold = False
        self.during_call()
        self.pool.release(lambda: setattr(process, "in_use", False))


def run_at_once(count: int, call: Callable[[], object]) -> None:
    threads = [threading.Thread(target=call, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_quick_calls_share_the_process_that_starts() -> None:
    ministack = Ministack(FunctionPool(10, spawn_delay_s=30), start_s=0.5)

    run_at_once(30, ministack.call)

    assert len(ministack.processes) == 1


def test_starts_one_process_at_a_time() -> None:
    ministack = Ministack(FunctionPool(10, spawn_delay_s=0.05), start_s=1.0)

    run_at_once(5, ministack.call)

    assert ministack.max_starting == 1


def test_slow_calls_get_processes_up_to_the_bound() -> None:
    ministack = Ministack(FunctionPool(3, spawn_delay_s=0.05))

    def wait_for_all() -> None:
        assert wait_until(lambda: len(ministack.processes) >= 3, 30)
        # A fourth process would start meanwhile.
        time.sleep(0.3)

    ministack.during_call = wait_for_all

    run_at_once(6, ministack.call)

    assert len(ministack.processes) == 3


FUNCTION = {"config": {"FunctionName": "heartbeat", "FunctionArn": "arn:aws:lambda:eu:1:function:heartbeat:live"}}


class Calls:
    """Counts the calls that run at once. The event `nested` makes `execute` call itself once, as ministack does.

    Calls end a little after `released` is set or `hold` of them run at once.
    """

    def __init__(self, max_age_s: float = 60, hold: int | None = None) -> None:
        self.calls = AsynchronousCalls(2, lambda _: {"MaximumEventAgeInSeconds": max_age_s})
        self.hold, self.released = hold, threading.Event()
        self.running = self.max_running = self.ended = 0
        self.results: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self.execute = self.calls.bounded(self._execute)

    def _execute(self, function: Any, event: Any) -> dict[str, Any]:
        if event == "nested":
            return self.execute(function, "plain")
        with self._lock:
            self.running += 1
            self.max_running = max(self.max_running, self.running)
            if self.running == self.hold:
                self.released.set()
        assert self.released.wait(30)
        # Further calls would begin meanwhile.
        time.sleep(0.2)
        with self._lock:
            self.running -= 1
            self.ended += 1
        return {"error": False}

    def invoke(self, function: Any, event: Any) -> None:
        """Runs the call in a thread with a copy of the context."""
        context = contextvars.copy_context()
        run = threading.Thread(
            target=context.run, args=(lambda: self.results.append(self.execute(function, event)),), daemon=True
        )
        run.start()

    def wait(self, count: int) -> None:
        end = time.monotonic() + 30
        while len(self.results) < count:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_asynchronous_calls_wait_for_a_slot() -> None:
    calls = Calls(hold=2)
    invoke = calls.calls.marked(calls.invoke)

    for _ in range(6):
        invoke(FUNCTION, "nested")
    calls.wait(6)

    assert calls.max_running == 2
    assert calls.results == [{"error": False}] * 6


def test_synchronous_calls_do_not_wait_for_asynchronous_ones() -> None:
    calls = Calls(hold=3)
    invoke = calls.calls.marked(calls.invoke)
    for _ in range(6):
        invoke(FUNCTION, "plain")

    run_at_once(4, lambda: calls.execute(FUNCTION, "plain"))

    assert calls.max_running > 2
    calls.wait(6)
    assert calls.ended == 10


def test_drops_asynchronous_calls_that_wait_longer_than_their_maximum_age() -> None:
    calls = Calls(max_age_s=1.0)
    invoke = calls.calls.marked(calls.invoke)
    for _ in range(12):
        invoke(FUNCTION, "plain")

    calls.wait(10)

    # The two calls that have a slot still run.
    assert (calls.running, calls.ended) == (2, 0)
    message = "The event was dropped: it waited longer than MaximumEventAgeInSeconds (1)."
    assert calls.results == [{"error": True, "body": {"errorMessage": message}, "log": ""}] * 10
    calls.released.set()
    calls.wait(12)
    invoke(FUNCTION, "plain")
    calls.wait(13)
    assert calls.ended == 3


@pytest.mark.parametrize(
    ("qualifier", "config"),
    [
        (":live", {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}),
        ("", {"MaximumRetryAttempts": 1}),
        (":7", {}),
    ],
)
def test_reads_the_config_of_the_alias_that_is_called(qualifier: str, config: dict[str, Any]) -> None:
    configs = {"live": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}, "": {"MaximumRetryAttempts": 1}}
    functions = {"heartbeat": {"event_invoke_configs": configs}}
    function = {"config": {"FunctionArn": f"arn:aws:lambda:eu:1:function:heartbeat{qualifier}"}}

    assert event_invoke_config(functions, function) == config


def test_invokes_with_the_config_of_the_function() -> None:
    calls = AsynchronousCalls(1, lambda _: {"MaximumRetryAttempts": 0})
    invoked: list[Any] = []

    calls.marked(lambda function, _: invoked.append(function))(FUNCTION, "event")

    assert invoked == [{**FUNCTION, "event_invoke_config": {"MaximumRetryAttempts": 0}}]
