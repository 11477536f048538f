import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.local.parent_watch import starter_watch
from tools.local.settings import REPOSITORY

PARENT = """
import subprocess, sys, time
subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)
time.sleep(60)
"""
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen(["sleep", "60"])
open("pids", "w").write(f"{os.getpid()} {grandchild.pid}\\n")
print(sys.argv, sys.stdin.read(), __name__)
time.sleep(60)
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    script = str(REPOSITORY / "tools/local/parent_watch.py")
    command = [sys.executable, "-c", PARENT, sys.executable, script, "-m", "stubborn", "one", "two"]
    with subprocess.Popen(command, cwd=tmp_path) as started:
        yield started
        started.kill()


def is_running(pid: int) -> bool:
    """Returns whether a process exists and is not a zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and "Z" not in state.stdout


def wait_for(file: Path) -> str:
    end = time.monotonic() + 30
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < end
        time.sleep(0.02)
    return file.read_text()


def test_killed_parent_ends_child_and_grandchild(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pids = [int(pid) for pid in wait_for(tmp_path / "pids").split()]
    assert all(is_running(pid) for pid in pids)

    parent.kill()

    end = time.monotonic() + 30
    while any(is_running(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(is_running(pid) for pid in pids)


def test_runs_the_module_as_main_with_empty_standard_input(tmp_path: Path) -> None:
    (tmp_path / "shows.py").write_text("import sys; print(sys.argv[1:], repr(sys.stdin.read()), __name__, sys.path[0])")
    read_end, write_end = os.pipe()
    script = str(REPOSITORY / "tools/local/parent_watch.py")
    try:
        command = [sys.executable, script, "-m", "shows", "one", "--two"]
        result = subprocess.run(
            command, check=True, stdin=read_end, cwd=tmp_path, capture_output=True, text=True, timeout=30
        )
    finally:
        os.close(read_end)
        os.close(write_end)

    assert result.stdout.strip() == f"['one', '--two'] '' __main__ {tmp_path}"


def test_runs_before_kill_first(tmp_path: Path) -> None:
    program = (
        "import time; from tools.local import parent_watch\n"
        "parent_watch.start(lambda: (time.sleep(0.2), print('saved', flush=True)))\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        # communicate() closes the child's standard input.
        output, _ = child.communicate(timeout=30)

    assert output == b"saved\n"
    assert child.returncode == -9


KILLED_MAKE = """
dev:
\t@STOP_WITH=$$PPID exec {python} -c 'import os, time; \\
from tools.local.parent_watch import end_with_starter; \\
end_with_starter(int(os.environ["STOP_WITH"])); \\
print(os.getpid(), flush=True); \\
time.sleep(60)'
"""


def test_killed_make_ends_its_program_even_as_a_zombie(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(KILLED_MAKE.format(python=sys.executable))
    command = ["make", "-s", "-f", str(tmp_path / "Makefile"), "dev"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as make:
        assert make.stdout is not None
        pid = int(make.stdout.readline())
        # The killed make remains as a zombie until this test waits for it.
        make.kill()

        end = time.monotonic() + 30
        while is_running(pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert not is_running(pid)


def test_starter_that_is_not_the_parent_is_watched_too() -> None:
    with subprocess.Popen(["sleep", "60"]) as starter:
        is_gone = starter_watch(starter.pid)
        assert not is_gone()
        starter.kill()
        starter.wait()
        assert is_gone()


def test_without_a_starter_nothing_ends() -> None:
    assert not starter_watch(None)()
