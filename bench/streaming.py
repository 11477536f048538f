"""`make bench`: what the completions function adds to a stream, against a plain relay, in one run.

The function runs as it does on AWS, under awslambdaric and a Lambda Runtime API; the time is taken where that API gets
the bytes. The machine is noisy: only the ratios mean something.
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bench import upstream
from local import aws, deployment, sam
from local.deployed import Function
from local.settings import EMULATOR, Settings
from local.workers import Workers
from tests.local_system import LocalSystem, free_ports
from tests.template import ROOT

ROUNDS = 200
PAUSE_S = 0.005
MANY = 10_000
BODY = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}

Ask = Callable[[], AsyncIterator[bytes]]


@asynccontextmanager
async def function(system: LocalSystem, url: str) -> AsyncIterator[tuple[Ask, int]]:
    """The deployed completions function, and the process that it runs in."""
    async with aiohttp.ClientSession() as session:
        provider = {"id": "bench", "endpoint": f"{url}/v1", "heartbeat": {"enabled": False}}
        await session.post(f"{system.url}/api/v1/providers", json=provider)
    completions, workers = _deployed(system)
    event = json.loads((ROOT / "events/completion.json").read_text()) | {"body": json.dumps(BODY)}

    async def ask() -> AsyncIterator[bytes]:
        async with workers.invoke(completions, "bench", json.dumps(event).encode()) as invocation:
            await invocation.prelude()
            async for chunk in invocation.chunks():
                yield chunk

    await _drain(ask())
    try:
        yield ask, _process("awslambdaric", os.getpid())
    finally:
        await workers.close()


def _deployed(system: LocalSystem) -> tuple[Function, Workers]:
    environ = {"PORT": str(system.port), "AWS_PORT": str(system.aws_port), "STATE": str(system.state)}
    functions = deployment.functions(system.aws_url, sam.build_folder(Settings.from_environ(environ)))
    [completions] = [found for found in functions if found.logical_id == "CompletionsFunction"]
    credentials = deployment.Credentials(aws.client("sts", system.aws_url))
    return completions, Workers(EMULATOR / "bin/python", credentials, lambda _function, _line: None)


@asynccontextmanager
async def plain_relay(url: str) -> AsyncIterator[tuple[Ask, int]]:
    """The relay under uvicorn, and its process."""
    [port] = free_ports(1)
    python = ROOT / ".local/bench/bin/python"
    options = ("-m", "uvicorn", "bench.plain_relay:app", "--port", str(port), "--log-level", "warning")
    environment = os.environ | {"UPSTREAM": url}
    process = await asyncio.create_subprocess_exec(python, *options, cwd=ROOT, env=environment)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

            async def ask() -> AsyncIterator[bytes]:
                async with session.post("/v1/chat/completions", json=BODY) as answer:
                    async for chunk in answer.content.iter_any():
                        yield chunk

            await _until(lambda: _drain(ask()))
            yield ask, process.pid
    finally:
        process.terminate()
        await process.wait()


async def first_byte_ms(ask: Ask) -> float:
    """How much later than it was sent the first event arrives, in milliseconds."""
    chunks = ask()
    first = await anext(chunks)
    late = (time.monotonic_ns() - upstream.sent_ns(first)) / 1e6
    await _drain(chunks)
    return late


async def cpu_per_event_us(ask: Ask, process: int) -> float:
    """User and system time of the process per event, in microseconds."""
    before = _cpu_s(process)
    await _drain(ask())
    return (_cpu_s(process) - before) / MANY * 1e6


async def measure() -> None:
    """Prints both figures for both, and their ratios."""
    with LocalSystem(environ={"TOKENHUB": "off"}) as system:
        few, many = await upstream.serve(3, PAUSE_S), await upstream.serve(MANY, 0)
        async with function(system, _url(few)) as (ours, _), plain_relay(_url(few)) as (theirs, _):
            pairs = [(await first_byte_ms(ours), await first_byte_ms(theirs)) for _ in range(ROUNDS)]
        _print("first byte added, ms (median)", *map(statistics.median, zip(*pairs, strict=True)))
        async with function(system, _url(many)) as (ours, pid), plain_relay(_url(many)) as (theirs, relay_pid):
            costs = [(await cpu_per_event_us(ours, pid), await cpu_per_event_us(theirs, relay_pid)) for _ in range(5)]
        _print("CPU per event, µs (median)", *map(statistics.median, zip(*costs, strict=True)))


def _print(what: str, ours: float, theirs: float) -> None:
    print(f"{what}: function {ours:.2f}, FastAPI relay {theirs:.2f}, ratio {ours / theirs:.2f}", flush=True)


def _url(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _process(name: str, parent: int) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        status = (folder / "stat").read_text().rpartition(")")[2].split()
        if int(status[1]) == parent and name in (folder / "cmdline").read_text():
            return int(folder.name)
    raise LookupError(name)


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


async def _until(work: Callable[[], Awaitable[Any]], tries: int = 100) -> None:
    for _ in range(tries):
        try:
            await work()
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    asyncio.run(measure())
