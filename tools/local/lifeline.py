"""Runs a Python module as a child that dies with its parent, even if that is killed: `lifeline.py -m module argument…`.

The parent starts it in a session of its own and holds the other end of its standard input. That end closes with the
parent, however it went; then the whole process group, the module's own children included, is killed at once.
Standard library only: it runs in both environments.
"""

import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path


def hold(at_end: Callable[[], None] | None = None) -> None:
    """Watch standard input from now on. `at_end` may still save something; the module itself reads /dev/null."""
    line = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_watch, args=(line, at_end), name="lifeline", daemon=True).start()


def end() -> None:
    """End this process and, when it leads a group, all that belongs to the group."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _watch(line: int, at_end: Callable[[], None] | None) -> None:
    try:
        while os.read(line, 1024):
            pass
        if at_end is not None:
            at_end()
    finally:
        end()


def _main() -> None:
    _, module, *arguments = sys.argv[1:]  # "-m" comes first: the line reads like Python's own
    sys.path[0] = str(Path.cwd())  # as `python -m` has it; this file's own folder must not shadow packages
    sys.argv = [module, *arguments]
    hold()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
