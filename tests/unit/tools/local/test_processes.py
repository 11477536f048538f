import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from tools.local import processes
from tools.local.settings import UserError

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('started', flush=True); time.sleep(60)"
)
EXITS_WITH_7 = "import sys; print('one'); print('two'); sys.exit(7)"


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


async def wait_for_output(log: Path) -> None:
    while not log.read_text():  # noqa: ASYNC110 ASYNC240 (a file of another process)
        await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_kills_a_program_that_ignores_sigterm(tmp_path: Path) -> None:
    async def check() -> tuple[int, float]:
        log = tmp_path / "logs" / "program.log"
        child = processes.child(
            "program", program(IGNORES_SIGTERM), log=log, environment=dict(os.environ), stop_timeout_s=0.3
        )
        async with child as running:
            await wait_for_output(log)
            started = time.monotonic()
        return running.process.pid, time.monotonic() - started

    pid, seconds = asyncio.run(check())

    assert is_gone(pid)
    assert 0.3 <= seconds < 10


def test_unexpected_end_shows_the_end_of_the_log(tmp_path: Path) -> None:
    async def check() -> None:
        log = tmp_path / "failing.log"
        child = processes.child("the thing", program(EXITS_WITH_7), log=log, environment=dict(os.environ))
        async with child as running:
            await running.watch()

    with pytest.raises(UserError) as caught:
        asyncio.run(check())

    message = f"the thing ended unexpectedly (exit 7). Its log is {tmp_path / 'failing.log'}:\n    one\n    two"
    assert str(caught.value) == message


def test_run_returns_the_exit_code(tmp_path: Path) -> None:
    log = tmp_path / "failing.log"

    assert asyncio.run(processes.run("it", program(EXITS_WITH_7), log=log, environment=dict(os.environ))) == 7


def test_cancelled_run_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "program.log"
    script = f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); {IGNORES_SIGTERM}"

    async def check() -> None:
        run = asyncio.create_task(processes.run("it", program(script), log=log, environment=dict(os.environ)))
        while not log.exists():  # noqa: ASYNC110 (a file of another process)
            await asyncio.sleep(0.02)
        await wait_for_output(log)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(check())

    assert is_gone(int((tmp_path / "pid").read_text()))
