"""`make bench BENCH=cold [BASE=REF]`: measures the CPU time of a cold start, from process start to the first answer.

Each function runs as on AWS, under awslambdaric and a Lambda Runtime API. With BASE, the functions of that commit run
in turn with these. The last row is uvicorn with FastAPI, boto3 and httpx, from process start to its first accepted
connection.
"""

import os
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from tests.local_system import free_ports
from tools.bench import cold_trees
from tools.bench.cold_servers import Provider, aws_handler, runtime_handler, serving
from tools.bench.cold_trees import Tree
from tools.bench.cpu import cpu_s
from tools.local.settings import REPOSITORY

ROUNDS = 7
ENVIRONMENT = REPOSITORY / ".local/bench"
EVENTS = {
    "authorizer": "authorize",
    "completions": "completion",
    "heartbeat": "tick",
    "preflight": "preflight",
    "providers": "list",
    "status": "status_page",
}
FIRST_ANSWER = ("authorizer", "completions")
# A function has a whole processor at this memory. During its init it has one at every memory.
WHOLE_PROCESSOR_MB = 1769
VARIABLES = {
    "ADMIN_TOKEN_SECRET": "admin",
    "ALLOWED_ORIGINS": "https://chat.example.com",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "CLIENT_TOKEN_SECRET": "client",
    "HEARTBEATS_TABLE": "heartbeats",
    "HEARTBEAT_FUNCTION": "heartbeat",
    "HISTORY_DAYS": "7",
    "KEYS_KEY": "key",
    "LOG_LEVEL": "INFO",
    "METRICS_NAMESPACE": "Bench",
    "PATH": "/usr/bin:/bin",
    "PLATFORM": "local",
    "PRIVATE_NETWORKS": "allow",
    "PROVIDERS_TABLE": "providers",
    # Lambda's folders are read-only.
    "PYTHONDONTWRITEBYTECODE": "1",
    "ROLL_UPS_TABLE": "roll-ups",
    "STATUS_PAGE": "token",
}


@dataclass
class Measurement:
    """The CPU seconds of one process at its first `/next` and at the first byte of its first answer."""

    event: bytes
    process: int = 0
    next_cpu_s: float = 0.0
    answer_cpu_s: float = 0.0
    answered: Event = field(default_factory=Event)

    def next_event(self) -> bytes | None:
        """Returns the event once. The second call ends the measurement."""
        if self.next_cpu_s:
            self.answered.set()
            return None
        self.next_cpu_s = cpu_s(self.process)
        return self.event

    def on_answer(self) -> None:
        """Records the CPU time at the first byte."""
        self.answer_cpu_s = cpu_s(self.process)


def measure(tree: Tree, function: str, aws: str) -> tuple[float, float]:
    """Returns the CPU seconds to the first `/next`, and from there to the first byte of the answer."""
    measurement = Measurement(read_event(function))
    handler = runtime_handler(measurement.next_event, measurement.on_answer)
    with serving(handler) as runtime, start(tree, function, aws, runtime) as process:
        measurement.process = process.pid
        answered = measurement.answered.wait(60)
        process.kill()
    if not answered:
        raise SystemExit(f"{function} of {tree.name} did not answer.")
    return measurement.next_cpu_s, measurement.answer_cpu_s - measurement.next_cpu_s


def read_event(function: str) -> bytes:
    """Returns the event that a function gets."""
    return (REPOSITORY / f"events/{EVENTS[function]}.json").read_bytes()


def start(tree: Tree, function: str, aws: str, runtime: str) -> subprocess.Popen[bytes]:
    """Starts a function under awslambdaric. `aws` and `runtime` are the host and port of the local servers."""
    code = tree.functions / function
    environ = VARIABLES | {"AWS_ENDPOINT_URL": f"http://{aws}", "AWS_LAMBDA_RUNTIME_API": runtime}
    environ |= {"LAMBDA_TASK_ROOT": str(code), "PYTHONPATH": os.pathsep.join(map(str, (code, *tree.layers)))}
    command = [str(ENVIRONMENT / "runtime/bin/python"), "-m", "awslambdaric", "app.handler"]
    return subprocess.Popen(command, cwd=code, env=environ, stdout=subprocess.DEVNULL)


def measure_plain_server() -> float:
    """Returns the CPU seconds of uvicorn from its start to its first accepted connection."""
    [port] = free_ports(1)
    python = str(ENVIRONMENT / "bin/python")
    command = [python, "-m", "uvicorn", "tools.bench.plain_server:app", "--port", str(port), "--log-level", "critical"]
    with subprocess.Popen(command, cwd=REPOSITORY, env=VARIABLES) as process:
        while not _accepts(port):
            time.sleep(0.01)
        seconds = cpu_s(process.pid)
        process.kill()
    return seconds


def _accepts(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def first_answer_s(init: float, first: float, memory_mb: int, *, burst: bool) -> float:
    """Returns the seconds to a first answer: CPU time divided by the share of a processor at this memory.

    With `burst`, the init has a whole processor.
    """
    share = memory_mb / WHOLE_PROCESSOR_MB
    return (init if burst else init / share) + first / share


def main() -> None:
    """Prints median CPU times in milliseconds, and the seconds to a first answer at each function's default memory."""
    base = os.environ.get("BASE")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = [cold_trees.build("this tree", REPOSITORY, folder / "this")]
        if base:
            trees.append(cold_trees.build(base, cold_trees.check_out(base, folder / "sources"), folder / "base"))
        with serving(Provider) as provider, serving(aws_handler(f"http://{provider}")) as aws:
            print(
                "| | CPU to /next, ms | then to the first byte, ms | memory, MB | first answer, s | without burst, s |"
            )
            print("|---|---:|---:|---:|---:|---:|")
            results = {function: _measure_in_turn(function, trees, aws) for function in EVENTS}
    for tree in trees:
        # API Gateway calls the authorizer and then the function.
        pair = [_times(results[function][tree.name], tree.memory_mb[function]) for function in FIRST_ANSWER]
        print(f"| first answer after a pause, {tree.name} | | | | {_sums(pair)} |")
    server = statistics.median(measure_plain_server() for _ in range(ROUNDS))
    print(f"| uvicorn, FastAPI, boto3 and httpx | {server * 1000:.0f} | | | | |")


def _measure_in_turn(function: str, trees: list[Tree], aws: str) -> dict[str, tuple[float, float]]:
    """Prints the function's rows and returns the medians in seconds by tree."""
    present = [tree for tree in trees if (tree.functions / function).exists()]
    rounds = [[measure(tree, function, aws) for tree in present] for _ in range(ROUNDS)]
    medians = {}
    for tree, pairs in zip(present, zip(*rounds, strict=True), strict=True):
        init, first = (statistics.median(values) for values in zip(*pairs, strict=True))
        medians[tree.name] = (init, first)
        memory = tree.memory_mb[function]
        row = f"{init * 1000:.0f} | {first * 1000:.0f} | {memory} | {_sums([_times((init, first), memory)])}"
        print(f"| {function}, {tree.name} | {row} |", flush=True)
    return medians


def _times(medians: tuple[float, float], memory_mb: int) -> tuple[float, float]:
    return first_answer_s(*medians, memory_mb, burst=True), first_answer_s(*medians, memory_mb, burst=False)


def _sums(times: list[tuple[float, float]]) -> str:
    return " | ".join(f"{sum(column):.2f}" for column in zip(*times, strict=True))


if __name__ == "__main__":
    main()
