#!/usr/bin/env bash
# CPython: a Ctrl-C that arrives at the end of an import is lost, and the program runs on.
#
# Versions: CPython 3.13, without packages.
# Expected: SIGINT raises KeyboardInterrupt in the main thread, so a program without a handler of its own ends.
# Seen:     the import system frees the lock of each module in the callback of a weak reference, which is Python code.
#           An interrupt that Python handles there becomes an exception of the callback. Python prints it as "Exception
#           ignored" and goes on. One signal, as a supervisor or a test sends it, then has no effect.
# Matters:  A program that imports for a second, such as one with boto3, runs this callback hundreds of times. Of 362
#           starts with one SIGINT during the imports, one ran on. Set SIGINT to SIG_DFL before the imports.
# Source:   weakref documentation, `weakref.ref`: exceptions of a callback "cannot be propagated". CPython:
#           `_get_module_lock` in `Lib/importlib/_bootstrap.py`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > program.py <<'PYTHON'
"""Sends itself one SIGINT when the import system's callback begins, and imports a module."""

import os
import signal
import sys

if sys.argv[1] == "default":
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(frame, event, _):
    # Only chooses the moment: the signal is a real one.
    if event == "call" and frame.f_code.co_name == "cb" and "importlib" in frame.f_code.co_filename:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)


sys.setprofile(interrupt)
import decimal

print("the program runs on")
PYTHON

python3.13 --version
lost=$(python3.13 program.py python 2> errors.txt) || { echo "the interrupt ended the program: the behaviour has changed"; exit 1; }
[[ $lost == "the program runs on" ]]
grep -q "Exception ignored in: <function _get_module_lock" errors.txt
grep -q "KeyboardInterrupt" errors.txt
if python3.13 program.py default > output.txt; then echo "SIG_DFL did not end the program"; exit 1; fi
[[ ! -s output.txt ]]
echo "confirmed: the interrupt was printed and ignored; with SIG_DFL it ended the program"
