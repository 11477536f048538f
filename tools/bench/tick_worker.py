"""`python -m tools.bench.tick_worker FILE TICK…`: runs the heartbeat function once for each tick and measures it.

A tick is a time. Writes the figures to FILE. PROFILE=1 also prints a profile.
"""

import cProfile
import importlib.util
import json
import os
import pstats
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

type Call = Callable[[str, dict[str, Any]], Any]

HEARTBEAT = Path(__file__).parents[2] / "functions/heartbeat/app.py"


def load() -> Any:
    """Imports the function's module, as Lambda does at init."""
    spec = importlib.util.spec_from_file_location("heartbeat_app", HEARTBEAT)
    if spec is None or spec.loader is None:
        raise ImportError(HEARTBEAT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def count_calls(app: Any, calls: Counter[str]) -> None:
    """Counts the AWS calls by operation."""
    for service in (app.dynamodb, app.events, app.kms):
        service.call = _counted(service.call, calls)


def _counted(call: Call, calls: Counter[str]) -> Call:
    def counted(operation: str, parameters: dict[str, Any]) -> Any:
        calls.update([operation])
        return call(operation, parameters)

    return counted


def measure(app: Any, tick: str, calls: Counter[str]) -> dict[str, Any]:
    """Runs one tick. Returns wall and CPU time in seconds, AWS calls, peak memory in MB, and the handler's result."""
    calls.clear()
    wall, cpu = time.monotonic(), time.process_time()
    result = app.handler({"tick": tick, "offset_seconds": 0}, None)
    seconds, cpu_s = time.monotonic() - wall, time.process_time() - cpu
    return {"seconds": seconds, "cpu_s": cpu_s, "calls": dict(calls), "peak_mb": peak_mb(), "result": result}


def peak_mb() -> float:
    """Returns this program's peak memory so far.

    getrusage() would include the memory of the parent before exec (Linux, exec_mmap), which is pytest here.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kilobytes) / 1024


def main(result_file: str, *ticks: str) -> None:
    app, calls = load(), Counter[str]()
    count_calls(app, calls)
    with ExitStack() as profiling:
        if "PROFILE" in os.environ:
            profile = profiling.enter_context(cProfile.Profile())
            profiling.callback(lambda: pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(30))
        Path(result_file).write_text(json.dumps([measure(app, tick, calls) for tick in ticks]))


if __name__ == "__main__":
    main(*sys.argv[1:])
