"""Runs the heartbeat function in a process of its own: `python -m tools.bench.tick_worker FILE TICK…`.

Runs the handler once for each tick (a time) and writes the figures to FILE. PROFILE=1 also prints a profile.
"""

import cProfile
import importlib.util
import json
import os
import pstats
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HEARTBEAT = Path(__file__).parents[2] / "functions/heartbeat/app.py"


def load() -> Any:
    """The function's module: its import is Lambda's init."""
    spec = importlib.util.spec_from_file_location("heartbeat_app", HEARTBEAT)
    if spec is None or spec.loader is None:
        raise ImportError(HEARTBEAT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def count_calls(app: Any, calls: Counter[str]) -> None:
    """Counts the AWS calls by name."""
    for client in (app.dynamodb.meta.client, app.kms, app.events):
        client.meta.events.register("before-call", lambda model, **_: calls.update([model.name]))


def measured(app: Any, tick: str, calls: Counter[str]) -> dict[str, Any]:
    """One tick: wall and CPU time in seconds, the AWS calls, the most memory so far in MB, and what it says."""
    calls.clear()
    wall, cpu = time.monotonic(), time.process_time()
    said = app.handler({"tick": tick, "offset_seconds": 0}, None)
    seconds, cpu_s = time.monotonic() - wall, time.process_time() - cpu
    return {"seconds": seconds, "cpu_s": cpu_s, "calls": dict(calls), "most_mb": most_mb(), "said": said}


def most_mb() -> float:
    """The most memory that this program has held so far. Not getrusage()'s: that one counts what the process held
    before it became this program (Linux, exec_mmap), so a large pytest made the function look large."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kilobytes) / 1024


def main(result: str, *ticks: str) -> None:
    app, calls = load(), Counter[str]()
    count_calls(app, calls)
    with ExitStack() as profiling:
        if "PROFILE" in os.environ:
            profile = profiling.enter_context(cProfile.Profile())
            profiling.callback(lambda: pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(30))
        Path(result).write_text(json.dumps([measured(app, tick, calls) for tick in ticks]))


if __name__ == "__main__":
    main(*sys.argv[1:])
