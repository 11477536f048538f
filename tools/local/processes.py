"""Child processes that end with this process. Each runs in its own session and is killed with its whole group."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.local.settings import REPOSITORY, UserError

# Runs a Python module that ends with its parent; the module's name and arguments follow.
PARENT_WATCH = (sys.executable, str(REPOSITORY / "tools/local/parent_watch.py"), "-m")


@dataclass(frozen=True)
class Child:
    """A running child process. `log` is the file with its output."""

    name: str
    log: Path
    process: asyncio.subprocess.Process

    async def watch(self) -> None:
        """Waits for the process to end, and then raises UserError: it must run until it is stopped."""
        code = await self.process.wait()
        raise UserError(f"{self.name} ended unexpectedly (exit {code}). Its log is {self.log}:\n{tail(self.log)}")

    async def stop(self, timeout_s: float) -> None:
        """Sends SIGTERM, waits, then kills every process of the group that is left."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(timeout_s):
                await self.process.wait()
        except TimeoutError:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def child(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    stop_timeout_s: float = 2.0,
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[Child]:
    """Runs a program for the duration of the block. The program must watch its standard input, see parent_watch.py."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            # The pipe closes when this process ends, however it ends.
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            cwd=REPOSITORY,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    running = Child(name, log, process)
    try:
        yield running
    finally:
        await running.stop(stop_timeout_s)


async def run(name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> int:
    """Runs a program until it ends and returns its exit code."""
    async with child(name, command, log=log, environment=environment, stop_timeout_s=0) as program:
        return await program.process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """Returns the last lines of a log file, indented."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
