"""`make bench BENCH=peers`: compares the gateway with other gateways in front of one provider. Linux only.

The gateway's completions function runs as in `make bench`, under Lambda's runtime client. The OpenAI SDK calls it
through the local system. All programs run at the same time and are measured in turn, because other load on the machine
affects them alike: only the ratios are meaningful.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import openai

from tests.local_system import LocalSystem, free_ports
from tools.bench import peer_figures, peer_servers, streaming, upstream
from tools.bench.cpu import cpu_s
from tools.bench.memory import peak_mb
from tools.bench.peer_calls import Send, http_sender, lambda_sender
from tools.bench.peer_figures import Samples
from tools.bench.peer_servers import PEERS, Starter

ROUNDS = 400
LONG_ROUNDS = 5
LOAD_ROUNDS = 3
LONG_EVENTS = 10_000
AT_ONCE = 16
REQUESTS = 320
READY_WITHIN_S = 180
SCRIPTS = {
    "bench": upstream.Script(3, 0.005),
    "quick": upstream.Script(3, 0),
    "long": upstream.Script(LONG_EVENTS, 0),
    "cut": upstream.Script(3, 0.005, is_cut=True),
}


@dataclass(frozen=True)
class Program:
    """A running program. `send` measures a request; `client` is the OpenAI SDK with its URL and key."""

    name: str
    process: int
    send: Send
    client: openai.OpenAI
    samples: Samples = field(default_factory=Samples)


def _body(model: str, *, stream: bool = True) -> dict[str, object]:
    return {"model": model, "stream": stream, "messages": streaming.BODY["messages"]}


def _client(url: str, headers: dict[str, str]) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="unused", default_headers=headers, max_retries=0, timeout=60)


@asynccontextmanager
async def _gateway(provider: str) -> AsyncIterator[Program]:
    with LocalSystem(environ={"TOKENHUB": "off"}) as system:
        async with streaming.function(system, provider) as function:
            client = _client(system.url, {"Authorization": f"Bearer {system.token()}"})
            yield Program("this gateway", function.process, lambda_sender(function.api), client)


@asynccontextmanager
async def _server(name: str, start: Starter, provider: str, folder: Path) -> AsyncIterator[Program]:
    [port] = free_ports(1)
    command, url = start(provider, port, folder), f"http://127.0.0.1:{port}"
    async with (
        peer_servers.running(command, folder / "log") as process,
        aiohttp.ClientSession(url, headers=command.headers) as session,
    ):
        send = http_sender(session)
        await _wait_until_ready(name, send, folder / "log")
        yield Program(name, process, send, _client(url, dict(command.headers)))


async def _wait_until_ready(name: str, send: Send, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            await send(_body("bench"))
        except aiohttp.ClientError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{name} did not answer: {error!r}\n{_tail(log)}") from None
            await asyncio.sleep(0.5)
        else:
            return


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _starters() -> dict[str, Starter]:
    """Returns the installed programs by their name and version. Reports each missing one."""
    starters: dict[str, Starter] = {"FastAPI and httpx": peer_servers.relay}
    for peer, start in PEERS.items():
        name = f"{peer} {peer_servers.version(peer)}"
        if peer_servers.is_installed(peer):
            starters[name] = start
        else:
            print(f"{name} is not installed, and is skipped.", file=sys.stderr)
    return starters


async def _measure_delays(programs: list[Program]) -> None:
    for _ in range(ROUNDS):
        for program in programs:
            call = await program.send(_body("bench"))
            program.samples.first_byte.append((call.arrived - call.started) * 1000)
            program.samples.relayed.append((call.arrived - call.sent) * 1000)
            call = await program.send(_body("bench", stream=False))
            program.samples.whole.append((call.ended - call.started) * 1000)


async def _measure_cpu(program: Program) -> None:
    before = cpu_s(program.process)
    await program.send(_body("long"))
    program.samples.cpu.append((cpu_s(program.process) - before) / LONG_EVENTS * 1e6)


async def _measure_load(program: Program) -> None:
    """Counts the finished requests a second. AT_ONCE clients send one after the other."""

    async def client() -> None:
        for _ in range(REQUESTS // AT_ONCE):
            await program.send(_body("quick"))

    started = time.monotonic()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    program.samples.per_second.append(REQUESTS / (time.monotonic() - started))


async def _read_cut(program: Program) -> str:
    whole = await asyncio.to_thread(peer_figures.read_end, program.client, "bench")
    if whole.error is not None or whole.finish_reason != "stop":
        raise SystemExit(f"{program.name} did not return a whole stream: {whole}")
    return peer_figures.verdict(await asyncio.to_thread(peer_figures.read_end, program.client, "cut"))


async def _measure(programs: list[Program], direct: Program) -> None:
    for program in programs:
        program.samples.cut = await _read_cut(program)
    await _measure_delays([direct, *programs])
    for _ in range(LONG_ROUNDS):
        for program in programs:
            await _measure_cpu(program)
    for _ in range(LOAD_ROUNDS):
        for program in [direct, *programs]:
            await _measure_load(program)
    for program in programs:
        program.samples.peak_mb = peak_mb(program.process)


async def main() -> None:
    """Starts all programs, measures them in turn and prints the table."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(AT_ONCE))
    server = await upstream.serve_models(SCRIPTS)
    provider = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        programs = [await stack.enter_async_context(_gateway(provider))]
        for name, start in _starters().items():
            programs.append(await stack.enter_async_context(_server(name, start, provider, folder)))
        session = await stack.enter_async_context(aiohttp.ClientSession(provider))
        direct = Program("direct", os.getpid(), http_sender(session), _client(provider, {}))
        await _measure(programs, direct)
    print(peer_figures.header())
    for program in programs:
        print(peer_figures.row(program.name, program.samples, direct.samples))
    print(f"Without a gateway: {statistics.median(direct.samples.per_second):.0f} requests a second.")


if __name__ == "__main__":
    asyncio.run(main())
