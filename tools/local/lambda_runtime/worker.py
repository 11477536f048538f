"""One execution environment: a process of the real runtime client, and the Runtime API that it talks to."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from tools.local.deployed import Function
from tools.local.lambda_runtime.invocation import Invocation
from tools.local.lambda_runtime.runtime_api import ClientGone, RuntimeApi

_LONGEST_LINE = 1024 * 1024  # an EMF line may be 256 KB, and an error with its trace is one line


class Worker:
    """Runs one invocation at a time. `ended(worker)` is called once, when its process is gone."""

    def __init__(
        self,
        function: Function,
        client_gone: ClientGone,
        log: Callable[[str], None],
        ended: Callable[["Worker"], None],
    ) -> None:
        self.function = function
        self.started = time.monotonic()
        self._log = log
        self._ended = ended
        self._api = RuntimeApi(
            function.arn, function.timeout_s, client_gone=client_gone, log=log, on_deadline=self.kill
        )
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def free(self) -> bool:
        """Whether it can take an invocation."""
        return self._api.free

    async def start(self, command: Sequence[str], credentials: Mapping[str, str], pycache: Path | None) -> None:
        """Starts the process; it is not free, but meant for the invocation that needs it."""
        await self._api.start()
        variables = environment(self.function, self._api.address, credentials)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,  # held open: the process ends when it closes, see lifeline.py
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LONGEST_LINE,
                cwd=self.function.code,
                env=variables | ({"PYTHONPYCACHEPREFIX": str(pycache)} if pycache else {}),
                start_new_session=True,
            )
        except BaseException:
            await self._api.close()
            raise
        self._watching = asyncio.create_task(self._watch(self._process))

    def submit(self, invocation: Invocation) -> None:
        """Gives it the next invocation."""
        self._api.submit(invocation)
        if self._watching is None or self._watching.done():
            self._api.fail("the process has ended")

    def kill(self) -> None:
        """Ends the process and its children at once."""
        self._api.free = False
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kills the process and waits until it is gone."""
        self.kill()
        if self._watching is not None:
            await self._watching

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        try:
            await self._pass_on_lines(process)
            code = await process.wait()
            self._ended(self)
            await self._api.end(f"Runtime.ExitError: the process ended with {code}")
        finally:
            await self._api.close()

    async def _pass_on_lines(self, process: asyncio.subprocess.Process) -> None:
        while process.stdout is not None:
            try:
                line = await process.stdout.readline()
            except ValueError:
                self._log("(a line of more than 1 MB was left out)")
                continue
            if not line:
                return
            self._log(line.decode(errors="replace").rstrip("\n"))


def environment(function: Function, runtime_api: str, credentials: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that Lambda sets, and no other of this machine's."""
    region = function.arn.split(":")[3]
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in _import_path(function)),
        "LAMBDA_TASK_ROOT": str(function.code),
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "_HANDLER": function.handler,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid4().hex}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        # Lambda has no home folder with a developer's profiles in it.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **function.environment,
        **credentials,
    }


def _import_path(function: Function) -> list[Path]:
    """Code first, then each layer as it lies under /opt: a dependency that is missing there is missing on AWS."""
    folders = [function.code]
    for layer in function.layers:
        folders += [layer / "python/lib/python3.13/site-packages", layer / "python"]
    return folders
