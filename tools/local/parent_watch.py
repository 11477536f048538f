"""Runs a Python module in a child process that ends when its parent ends, even if the parent is killed.

Usage: `parent_watch.py -m module argument…`. The parent starts the child in a new session and holds the write end of
the child's standard input. When the parent ends, that pipe closes, and the child kills its whole process group.
Uses the standard library only, because it runs in both virtual environments.
"""

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

STARTER_CHECK_INTERVAL_S = 0.5


def start(before_kill: Callable[[], None] | None = None) -> None:
    """Starts a thread that watches standard input and ends this process when it closes.

    `before_kill` runs first and may save data. Standard input is replaced by /dev/null for the rest of the program.
    """
    pipe = os.dup(0)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    threading.Thread(target=_watch, args=(pipe, before_kill), name="parent-watch", daemon=True).start()


def starter_watch(pid: int | None) -> Callable[[], bool]:
    """Returns a function that reports whether the process `pid`, which started this one, has ended. None never ends.

    If `pid` is the parent, the function compares the parent's id, because this process gets another parent at once. The
    old id may remain: as a zombie, or as the id of another process.
    """
    if pid is None:
        return lambda: False
    if os.getppid() == pid:
        return lambda: os.getppid() != pid
    return lambda: not _exists(pid)


def end_with_starter(pid: int | None) -> None:
    """Starts a thread that interrupts this process with SIGTERM when the process `pid` has ended."""
    is_gone = starter_watch(pid)

    def watch() -> None:
        while not is_gone():
            time.sleep(STARTER_CHECK_INTERVAL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    if pid is not None:
        threading.Thread(target=watch, name="starter-watch", daemon=True).start()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kill_process_group() -> None:
    """Kills the process group if this process leads one, otherwise exits this process alone."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _watch(pipe: int, before_kill: Callable[[], None] | None) -> None:
    try:
        while os.read(pipe, 1024):
            pass
        if before_kill is not None:
            before_kill()
    finally:
        kill_process_group()


def _main() -> None:
    # The first argument is "-m", as on Python's own command line.
    _, module, *arguments = sys.argv[1:]
    # `python -m` searches the current folder first; this file's folder must not shadow packages.
    sys.path[0] = str(Path.cwd())
    sys.argv = [module, *arguments]
    start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
