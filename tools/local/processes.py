"""Child processes that end with us: started in a session of their own, ended as a whole group."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.local.settings import REPOSITORY, LocalError

LIFELINE = (sys.executable, str(REPOSITORY / "tools/local/lifeline.py"), "-m")


@dataclass(frozen=True)
class Child:
    """A running program; `log` has what it prints."""

    name: str
    log: Path
    process: asyncio.subprocess.Process

    async def watch(self) -> None:
        """Wait for its end, which is never expected: raises LocalError."""
        code = await self.process.wait()
        raise LocalError(f"{self.name} ended unexpectedly (exit {code}). Its log is {self.log}:\n{tail(self.log)}")

    async def stop(self, within_s: float) -> None:
        """Ask it to end, then end all that is left of its group."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
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
    stop_within_s: float = 2.0,
    keep: Sequence[int] = (),
) -> AsyncIterator[Child]:
    """A program that runs as long as the block does. It must hold the lifeline, see lifeline.py."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,  # the lifeline: closes with us
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            cwd=REPOSITORY,
            start_new_session=True,
            pass_fds=keep,
        )
    running = Child(name, log, process)
    try:
        yield running
    finally:
        await running.stop(stop_within_s)


async def run(name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> int:
    """Run a program to its end and give its exit code."""
    async with child(name, command, log=log, environment=environment, stop_within_s=0) as program:
        return await program.process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, indented."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
