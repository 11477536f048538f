"""Bounds the processes that ministack runs for functions. Without a bound, each concurrent call starts another one.

Runs in the emulator's virtual environment. ministack has no settings for these bounds, so its private functions are
wrapped; its version is pinned.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any

# A call starts another process only if no process becomes free within this time. A cold start takes seconds, and most
# calls take a few milliseconds.
SPAWN_DELAY_S = 0.2
_POLL_S = 0.05

# Lambda's default for MaximumEventAgeInSeconds.
_DEFAULT_EVENT_AGE_S = 6 * 60 * 60

type Function = dict[str, Any]
type Result = dict[str, Any]

# The time.monotonic() at which the local AWS accepted the running asynchronous call. None in all other calls.
_accepted_at: ContextVar[float | None] = ContextVar("accepted_at", default=None)

logger = logging.getLogger("functions")


def install() -> None:
    """Wraps ministack's functions that take a process for a call, give it back, and run asynchronous calls."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    def processes(name: str, config: dict[str, Any], qualifier: str) -> list[Any]:
        key = lambda_runtime._worker_key(name, config, qualifier)  # noqa: SLF001
        return list(lambda_runtime._workers.get(key, ()))  # noqa: SLF001

    pool = FunctionPool(max_processes())
    acquire, release = lambda_svc.acquire_worker, lambda_svc.release_worker

    def acquire_within_bound(name: str, config: dict[str, Any], code: bytes, qualifier: str = "$LATEST") -> Any:
        return pool.acquire(
            lambda: processes(name, config, qualifier), lambda: acquire(name, config, code, qualifier=qualifier)
        )

    def release_and_notify(worker: Any) -> None:
        pool.release(lambda: release(worker))

    lambda_svc.acquire_worker, lambda_svc.release_worker = acquire_within_bound, release_and_notify
    asynchronous = AsynchronousCalls(
        max(2, os.cpu_count() or 1),
        lambda function: event_invoke_config(lambda_svc._functions, function),  # noqa: SLF001
    )
    lambda_svc._execute_function = asynchronous.bounded(lambda_svc._execute_function)  # noqa: SLF001
    lambda_svc.invoke_async_with_retry = asynchronous.marked(lambda_svc.invoke_async_with_retry)


def event_invoke_config(functions: Mapping[str, Function], function: Function) -> dict[str, Any]:
    """Returns the EventInvokeConfig of the version or alias that is called. ministack's own look-up ignores both.

    `functions` are ministack's functions by name, `function` is its record of the call.
    """
    # arn:aws:lambda:REGION:ACCOUNT:function:NAME, then :QUALIFIER if the call names one.
    name, _, qualifier = str(function["config"]["FunctionArn"]).split(":", 6)[6].partition(":")
    return dict((functions[name].get("event_invoke_configs") or {}).get(qualifier) or {})


def max_processes() -> int:
    """Returns the bound per function: the API server's slots for buffered calls, see apigateway/call_queue.py."""
    return max(4, 2 * (os.cpu_count() or 1)) + 2


class FunctionPool:
    """Decides when a call takes a free process, starts another one, or waits. Each method may block."""

    def __init__(self, max_processes: int, spawn_delay_s: float = SPAWN_DELAY_S) -> None:
        self._max_processes = max_processes
        self._spawn_delay_s = spawn_delay_s
        self._changed = threading.Condition()

    def acquire[T](self, processes: Callable[[], Iterable[Any]], acquire: Callable[[], T]) -> T:
        """Calls `acquire` as soon as the call may have a process. `processes` returns the function's processes."""
        started = time.monotonic()
        with self._changed:
            while not self._may_acquire(list(processes()), time.monotonic() - started):
                self._changed.wait(_POLL_S)
            return acquire()

    def release(self, release: Callable[[], None]) -> None:
        """Calls `release` and wakes the waiting calls."""
        with self._changed:
            release()
            self._changed.notify_all()

    def _may_acquire(self, processes: list[Any], waited_s: float) -> bool:
        if not processes or any(not process.in_use for process in processes):
            return True
        # ministack marks a process that has not started yet as cold. Only one process starts at a time.
        if any(process._cold for process in processes):  # noqa: SLF001
            return False
        return len(processes) < self._max_processes and waited_s >= self._spawn_delay_s


class AsynchronousCalls:
    """Runs at most `slots` asynchronous calls at once. The others wait, as in Lambda's queue of events.

    `config` returns the EventInvokeConfig of a function. A call that waits longer than its MaximumEventAgeInSeconds is
    dropped:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
    """

    def __init__(self, slots: int, config: Callable[[Function], dict[str, Any]]) -> None:
        self._slots = threading.Semaphore(slots)
        self._config = config

    def marked(self, invoke: Callable[[Function, Any], None]) -> Callable[[Function, Any], None]:
        """Wraps `invoke`, so that `bounded` recognises its calls. `invoke` copies its context to another thread."""

        def invoke_marked(function: Function, event: Any) -> None:
            token = _accepted_at.set(time.monotonic())
            try:
                invoke({**function, "event_invoke_config": self._config(function)}, event)
            finally:
                _accepted_at.reset(token)

        return invoke_marked

    def bounded(self, execute: Callable[[Function, Any], Result]) -> Callable[[Function, Any], Result]:
        """Wraps `execute`, so that an asynchronous call waits for a slot first."""

        def execute_bounded(function: Function, event: Any) -> Result:
            accepted_at = _accepted_at.get()
            if accepted_at is None:
                return execute(function, event)
            age_s = function["event_invoke_config"].get("MaximumEventAgeInSeconds", _DEFAULT_EVENT_AGE_S)
            if not self._slots.acquire(timeout=max(0.0, accepted_at + age_s - time.monotonic())):
                return _dropped(function, age_s)
            # `execute` may call itself again for the same call.
            token = _accepted_at.set(None)
            try:
                return execute(function, event)
            finally:
                _accepted_at.reset(token)
                self._slots.release()

        return execute_bounded


def _dropped(function: Function, age_s: float) -> Result:
    """Returns ministack's result of a failed call."""
    message = f"The event was dropped: it waited longer than MaximumEventAgeInSeconds ({age_s:g})."
    logger.warning("%s: %s", function["config"]["FunctionName"], message)
    return {"error": True, "body": {"errorMessage": message}, "log": ""}
