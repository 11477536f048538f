"""Long streams and failures leave no memory, thread or socket behind in a process of the real awslambdaric."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from managed_runtime import RUNTIME_PYTHON, Runtime, starting

MIB = 1 << 20
FAULTS = 100

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

# Every failing body and its on_close hold a mebibyte, so that the test notices a reference that is never released. The
# handler that raises holds none: even without a layer awslambdaric keeps the frames of such a handler until a garbage
# collection (95 MB after 100 of them).
APP = """
import socket
from lambda_streaming import StreamingResponse, Pump, streaming

FILL = 1 << 20

def mebibytes(count):
    for number in range(count):
        print("mebibyte", flush=True)
        for _ in range(16):
            yield bytes([number % 256]) * 65536

def failing():
    data = b"x" * FILL
    yield data[:1000]
    raise LookupError("a secret")

def received(client, server):
    data = b"x" * FILL
    with client, server:
        server.sendall(data[:20_000])
        while chunk := client.recv(5000):
            yield chunk

def silent_upstream():
    client, server = socket.socketpair()
    stop = lambda: client.shutdown(socket.SHUT_RDWR)
    return Pump(received(client, server), stop=stop, idle=0.02, on_idle=lambda: b":")

@streaming
def handler(event, context):
    if event["do"] == "raise":
        raise KeyError("before the first byte")
    data = b"x" * FILL
    match event["do"]:
        case "stream": body = mebibytes(event["count"])
        case "pump": body = Pump(mebibytes(event["count"]))
        case "fail": body = failing()
        case "fail in the pump": body = Pump(failing())
        case "endless": body = mebibytes(1_000_000)
        case "endless pump": body = Pump(mebibytes(1_000_000))
        case "silence": body = silent_upstream()
    return StreamingResponse(200, {}, body, lambda: len(data))
"""
ANSWERED = ("raise", "fail", "fail in the pump")
RESET = ("endless", "endless pump", "silence")


@pytest.fixture
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with starting(RUNTIME_PYTHON, tmp_path_factory) as start:
        yield start(APP)


@pytest.mark.parametrize("body_kind", ["stream", "pump"])
def test_streams_100_mib_to_a_slow_reader_without_buffering(runtime: Runtime, body_kind: str) -> None:
    runtime.api.invoke(do=body_kind, count=1)
    before = memory(runtime, "VmRSS")
    runtime.api.pause = threading.Event()

    with ThreadPoolExecutor(1) as pool:
        exchange = pool.submit(runtime.api.invoke, do=body_kind, count=100)
        produced_unread = mebibytes_once_stalled(runtime)
        runtime.api.pause.set()
        body = exchange.result().body

    assert len(body) == 100 * MIB
    # The buffers of both sockets in the kernel take less than 40 MiB.
    assert produced_unread < 40
    assert memory(runtime, "VmHWM") - before < 20 * MIB


def test_one_hundred_failures_leak_no_thread_socket_or_memory(runtime: Runtime) -> None:
    for kind in (*ANSWERED, *RESET):
        fail(runtime, kind)
    assert_serves(runtime)
    before, memory_before = open_at_rest(runtime), memory(runtime, "VmRSS")

    for number in range(FAULTS):
        fail(runtime, (*ANSWERED, *RESET)[number % 6])

    assert_serves(runtime)
    assert open_at_rest(runtime) == before
    assert memory(runtime, "VmRSS") - memory_before < 8 * MIB


def fail(runtime: Runtime, kind: str) -> None:
    runtime.api.reset_after = 5000 if kind in RESET else None
    exchange = runtime.api.invoke(do=kind)
    assert runtime.api.reset_after is None, "the connection was not reset"
    if kind == "raise":
        assert exchange.head.splitlines()[0].endswith("/error HTTP/1.1")
    elif kind in ANSWERED:
        assert exchange.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.LookupError"


def assert_serves(runtime: Runtime) -> None:
    assert len(runtime.api.invoke(do="stream", count=1).body) == MIB


def memory(runtime: Runtime, name: str) -> int:
    """Returns the memory of the process in bytes: VmRSS is the current value, VmHWM the maximum so far."""
    lines = Path(f"/proc/{runtime.process.pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def open_at_rest(runtime: Runtime) -> dict[str, int]:
    """Returns the numbers of threads and open files, once they have not changed for half a second.

    A response arrives before its socket closes.
    """
    process = Path(f"/proc/{runtime.process.pid}")
    samples: list[dict[str, int]] = []
    while len(samples) < 10 or any(sample != samples[-1] for sample in samples[-10:]):
        time.sleep(0.05)
        samples.append({name: len(list((process / name).iterdir())) for name in ("task", "fd")})
    return samples[-1]


def mebibytes_once_stalled(runtime: Runtime) -> int:
    """Returns the number of mebibytes that the function has produced when it has produced none for half a second."""
    counts = [0]
    while counts[-1] <= 1 or len(set(counts[-6:])) > 1:
        time.sleep(0.1)
        counts.append(runtime.output.read_text().count("mebibyte"))
    # The first stream of the test produced one.
    return counts[-1] - 1
