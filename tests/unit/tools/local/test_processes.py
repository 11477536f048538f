import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from tools.local import processes
from tools.local.settings import LocalError

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
FAILING = "import sys; print('one'); print('two'); sys.exit(7)"


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


async def printed(log: Path) -> None:
    while not log.read_text():  # noqa: ASYNC110 ASYNC240 (a file of another process)
        await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_program_that_will_not_hear_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    async def check() -> tuple[int, float]:
        log = tmp_path / "logs" / "deaf.log"
        child = processes.child("deaf", program(DEAF), log=log, environment=dict(os.environ), stop_within_s=0.3)
        async with child as running:
            await printed(log)
            begun = time.monotonic()
        return running.process.pid, time.monotonic() - begun

    pid, seconds = asyncio.run(check())

    assert gone(pid)
    assert 0.3 <= seconds < 2


def test_a_program_that_ends_by_itself_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def check() -> None:
        log = tmp_path / "failing.log"
        child = processes.child("the thing", program(FAILING), log=log, environment=dict(os.environ))
        async with child as running:
            await running.watch()

    with pytest.raises(LocalError) as caught:
        asyncio.run(check())

    sentence = f"the thing ended unexpectedly (exit 7). Its log is {tmp_path / 'failing.log'}:\n    one\n    two"
    assert str(caught.value) == sentence


def test_a_run_gives_the_exit_code(tmp_path: Path) -> None:
    log = tmp_path / "failing.log"

    assert asyncio.run(processes.run("it", program(FAILING), log=log, environment=dict(os.environ))) == 7


def test_a_cancelled_run_leaves_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "deaf.log"
    script = f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); {DEAF}"

    async def check() -> None:
        run = asyncio.create_task(processes.run("it", program(script), log=log, environment=dict(os.environ)))
        while not log.exists():  # noqa: ASYNC110 (a file of another process)
            await asyncio.sleep(0.02)
        await printed(log)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(check())

    assert gone(int((tmp_path / "pid").read_text()))
