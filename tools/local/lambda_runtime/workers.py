"""The execution environments of the streaming functions: one process per concurrent invocation, reused when free."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tools.local.deployed import Function
from tools.local.lambda_runtime.invocation import Invocation
from tools.local.lambda_runtime.runtime_api import ClientGone
from tools.local.lambda_runtime.worker import Worker

_LIFELINE = Path(__file__).resolve().parents[1] / "lifeline.py"
_LIFETIME_S = 30 * 60  # below the hour that a role's credentials last; Lambda renews its environments, too
_CLOSE_S = 2


class Throttled(Exception):
    """As many invocations as are allowed are running already."""


class Workers:
    """At most `most` processes of `python`, which must have awslambdaric.

    `credentials(function)` gives the environment variables of its role, and may block. `log(function, line)` takes
    each line that it prints. `pycache` is where compiled code is kept, instead of the functions' own folders.
    """

    def __init__(
        self,
        python: Path,
        credentials: Callable[[Function], Mapping[str, str]],
        log: Callable[[Function, str], None],
        most: int = 16,
        *,
        client_gone: ClientGone = "reset",
        pycache: Path | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._command = command or (str(python), str(_LIFELINE), "-m", "awslambdaric")
        self._credentials = credentials
        self._log = log
        self._most = most
        self._client_gone = client_gone
        self._pycache = pycache
        self._workers: list[Worker] = []

    @asynccontextmanager
    async def invoke(self, function: Function, request_id: str, event: bytes) -> AsyncIterator[Invocation]:
        """Runs one invocation. Leaving before its end means that the client has gone. Raises Throttled."""
        worker = self._free(function) or await self._started(function)
        invocation = Invocation(request_id, event)
        worker.submit(invocation)
        try:
            yield invocation
        finally:
            invocation.abandon()
            if invocation.failure:
                self._log(function, f"{request_id} {invocation.failure}")

    async def close(self) -> None:
        """Kills every process; takes two seconds at most."""
        closing = [asyncio.create_task(worker.close()) for worker in self._workers]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_S)

    def _free(self, function: Function) -> Worker | None:
        oldest = time.monotonic() - _LIFETIME_S
        for worker in [w for w in self._workers if w.free and w.started < oldest]:
            self._dismiss(worker)
        return next((w for w in self._workers if w.free and w.function == function), None)

    async def _started(self, function: Function) -> Worker:
        if len(self._workers) >= self._most:
            self._dismiss(self._one_to_spare())
        worker = Worker(function, self._client_gone, lambda line: self._log(function, line), self._ended)
        self._workers.append(worker)  # before the first await: it counts from now on
        try:
            credentials = await asyncio.to_thread(self._credentials, function)
            await worker.start([*self._command, function.handler], credentials, self._pycache)
        except BaseException:
            self._ended(worker)
            raise
        return worker

    def _one_to_spare(self) -> Worker:
        """A free worker, of another function then, may make room."""
        for worker in self._workers:
            if worker.free:
                return worker
        raise Throttled

    def _dismiss(self, worker: Worker) -> None:
        worker.kill()
        self._ended(worker)

    def _ended(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
