"""A pool of execution environments for the streaming functions: one process per concurrent invocation."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tools.local.deployment import Function
from tools.local.lambda_runtime.invocation import Invocation
from tools.local.lambda_runtime.runtime_api import DisconnectPolicy
from tools.local.lambda_runtime.worker import Worker

_PARENT_WATCH = Path(__file__).resolve().parents[1] / "parent_watch.py"
# Shorter than the hour that a role's credentials last. Lambda replaces its environments too.
_MAX_AGE_S = 30 * 60
_CLOSE_TIMEOUT_S = 2
MAX_WORKERS = 16
_IDLE_S = 60.0


class ThrottledError(Exception):
    """The pool has no free worker and may not start another one. `limit` is its number of workers."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"all {limit} workers are busy")
        self.limit = limit


class WorkerPool:
    """Runs at most `max_workers` processes of `python`, whose environment must have awslambdaric installed.

    `credentials(function)` returns the environment variables of the function's role and may block.
    `log(function, line)` gets each line of output. A worker that is idle for `idle_s` seconds ends, except for one per
    function. `temporary` is the folder of temporary files, as /tmp is on Lambda.
    """

    def __init__(
        self,
        python: Path,
        credentials: Callable[[Function], Mapping[str, str]],
        log: Callable[[Function, str], None],
        max_workers: int = MAX_WORKERS,
        *,
        idle_s: float = _IDLE_S,
        on_disconnect: DisconnectPolicy = "reset",
        command: Sequence[str] | None = None,
        temporary: Path | None = None,
    ) -> None:
        self._command = command or (str(python), str(_PARENT_WATCH), "-m", "awslambdaric")
        self._credentials = credentials
        self._log = log
        self._max_workers = max_workers
        self._idle_s = idle_s
        self._on_disconnect = on_disconnect
        self._temporary = {} if temporary is None else {"TMPDIR": str(temporary)}
        self._workers: list[Worker] = []

    @asynccontextmanager
    async def invoke(self, function: Function, request_id: str, event: bytes) -> AsyncIterator[Invocation]:
        """Runs one invocation. Leaving the block early reports that the client disconnected. Raises ThrottledError."""
        worker = self._find_free(function) or await self._start_worker(function)
        invocation = Invocation(request_id, event)
        worker.submit(invocation)
        try:
            yield invocation
        finally:
            invocation.abandon()
            worker.last_used = time.monotonic()
            asyncio.get_running_loop().call_later(self._idle_s, self._end_idle)
            if invocation.failure:
                self._log(function, f"{request_id} {invocation.failure}")

    async def close(self) -> None:
        """Kills every process. Takes at most two seconds."""
        closing = [asyncio.create_task(worker.close()) for worker in self._workers]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)

    def _end_idle(self) -> None:
        """Kills the workers that were idle for `idle_s` seconds, except for the last one of each function."""
        used_before = time.monotonic() - self._idle_s
        for worker in [worker for worker in self._workers if worker.free and worker.last_used <= used_before]:
            if sum(other.function == worker.function for other in self._workers) > 1:
                self._kill(worker)

    def _find_free(self, function: Function) -> Worker | None:
        """Returns a free worker of the function, or None. Kills free workers that are too old."""
        started_before = time.monotonic() - _MAX_AGE_S
        for worker in [w for w in self._workers if w.free and w.started < started_before]:
            self._kill(worker)
        return next((w for w in self._workers if w.free and w.function == function), None)

    async def _start_worker(self, function: Function) -> Worker:
        if len(self._workers) >= self._max_workers:
            self._kill(self._any_free())
        worker = Worker(function, self._on_disconnect, lambda line: self._log(function, line), self._remove)
        # Added before the first await, so that concurrent requests count it against the limit.
        self._workers.append(worker)
        try:
            credentials = await asyncio.to_thread(self._credentials, function)
            await worker.start([*self._command, function.handler], self._temporary | dict(credentials))
        except BaseException:
            self._remove(worker)
            raise
        return worker

    def _any_free(self) -> Worker:
        """Returns a free worker of any function. Raises ThrottledError if all are busy."""
        for worker in self._workers:
            if worker.free:
                return worker
        raise ThrottledError(self._max_workers)

    def _kill(self, worker: Worker) -> None:
        worker.kill()
        self._remove(worker)

    def _remove(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
