"""One execution environment: a process with the real runtime client, and the Runtime API that it calls."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from tools.local.deployment import Function
from tools.local.lambda_runtime.invocation import Invocation
from tools.local.lambda_runtime.runtime_api import DisconnectPolicy, RuntimeApi

# A line of embedded metrics may have 256 KB, and an error with its stack trace is one line.
_MAX_LINE_BYTES = 1024 * 1024


class Worker:
    """Runs one invocation at a time. `on_exit(worker)` is called once, when its process has ended."""

    def __init__(
        self,
        function: Function,
        on_disconnect: DisconnectPolicy,
        log: Callable[[str], None],
        on_exit: Callable[["Worker"], None],
    ) -> None:
        self.function = function
        self.started = self.last_used = time.monotonic()
        self._log = log
        self._on_exit = on_exit
        self._api = RuntimeApi(
            function.arn, function.timeout_s, on_disconnect=on_disconnect, log=log, on_deadline=self.kill
        )
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def free(self) -> bool:
        """Whether the worker can take an invocation."""
        return self._api.free

    async def start(self, command: Sequence[str], more_variables: Mapping[str, str]) -> None:
        """Starts the process. The worker is not free: it is reserved for the invocation that needs it."""
        await self._api.start()
        variables = environment(self.function, self._api.address, more_variables)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                # The process ends when this pipe closes, see parent_watch.py.
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_MAX_LINE_BYTES,
                cwd=self.function.code,
                # Lambda's folders are read-only. `tools.local.bytecode` has compiled the build.
                env=variables | {"PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
            )
        except BaseException:
            await self._api.close()
            raise
        self._watcher = asyncio.create_task(self._watch(self._process))

    def submit(self, invocation: Invocation) -> None:
        """Passes the next invocation to the process."""
        self._api.submit(invocation)
        if self._watcher is None or self._watcher.done():
            self._api.fail("the process has ended")

    def kill(self) -> None:
        """Kills the process and its children."""
        self._api.free = False
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kills the process and waits for its end."""
        self.kill()
        if self._watcher is not None:
            await self._watcher

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        try:
            await self._log_output(process)
            code = await process.wait()
            self._on_exit(self)
            await self._api.end(f"Runtime.ExitError: the process exited with {code}")
        finally:
            await self._api.close()

    async def _log_output(self, process: asyncio.subprocess.Process) -> None:
        while process.stdout is not None:
            try:
                line = await process.stdout.readline()
            except ValueError:
                self._log("(skipped a line of more than 1 MB)")
                continue
            if not line:
                return
            self._log(line.decode(errors="replace").rstrip("\n"))


def environment(function: Function, runtime_api: str, more_variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment variables that Lambda sets, with `more_variables` and without those of this machine."""
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
        # Hides the developer's AWS profiles, which do not exist on Lambda.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **function.environment,
        **more_variables,
    }


def _import_path(function: Function) -> list[Path]:
    """Returns only the folders that Lambda has too, so that a missing package fails as on AWS: the code, then /opt."""
    folders = [function.code]
    for layer in function.layers:
        folders += [layer / "python/lib/python3.13/site-packages", layer / "python"]
    return folders
