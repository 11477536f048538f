"""`make bench`: measures what the completions function adds to a stream, compared with a plain relay.

It also compares `/v1/responses`, which the function translates to and from chat completions, with the untranslated
`/v1/chat/completions`.

The function runs as on AWS, under awslambdaric and a Lambda Runtime API that records the time of every socket read.
Other load on the machine affects both, so only the ratios are meaningful.
"""

import asyncio
import json
import os
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from runtime_api import RuntimeApi
from tests.local_system import LocalSystem, free_ports
from tests.template import ROOT
from tools.bench import upstream
from tools.local import aws, discovery, stack
from tools.local.lambda_runtime.worker import environment
from tools.local.role_credentials import RoleCredentials
from tools.local.settings import EMULATOR, Settings

ROUNDS = 200
PAUSE_S = 0.005
MANY_EVENTS = 10_000
BODY = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
RESPONSES_BODY = {"model": "bench", "stream": True, "input": "Hello"}

# Sends one request. Returns the arrival time of the first event and the bytes that arrived with it.
SendRequest = Callable[[], Awaitable[tuple[float, bytes]]]


@dataclass(frozen=True)
class Function:
    """The running completions function. `chat` and `responses` each send a request to one of its routes."""

    api: RuntimeApi
    chat: SendRequest
    responses: SendRequest
    process: int


@asynccontextmanager
async def function(system: LocalSystem, url: str) -> AsyncIterator[Function]:
    """Runs the deployed completions function, with `url` as its provider."""
    async with aiohttp.ClientSession() as session:
        provider = {"id": "bench", "endpoint": f"{url}/v1", "heartbeat": {"enabled": False}}
        await session.post(f"{system.url}/api/v1/providers", json=provider)
    api = RuntimeApi()
    running = Function(api, _sender(api, "completion", BODY), _sender(api, "responses", RESPONSES_BODY), 0)
    process = _start(system, api)
    try:
        await running.chat()
        # The function then knows that the provider has no `/v1/responses`.
        await running.responses()
        yield replace(running, process=process.pid)
    finally:
        process.kill()
        process.wait()
        api.close()


def _sender(api: RuntimeApi, name: str, body: dict[str, object]) -> SendRequest:
    event = json.loads((ROOT / f"events/{name}.json").read_text()) | {"body": json.dumps(body)}

    async def send() -> tuple[float, bytes]:
        posted = await asyncio.to_thread(lambda: api.invoke(**event))
        arrived = posted.arrived(upstream.SENT)
        return arrived, next(data for read_at, data in posted.reads if read_at == arrived)

    return send


def _start(system: LocalSystem, api: RuntimeApi) -> subprocess.Popen[bytes]:
    ports = {"PORT": str(system.port), "AWS_PORT": str(system.aws_port), "STATE": str(system.state)}
    functions = discovery.read_functions(system.aws_url, stack.build_folder(Settings.from_environ(ports)))
    [completions] = [found for found in functions if found.logical_id == "CompletionsFunction"]
    credentials = RoleCredentials(aws.client("sts", system.aws_url))(completions)
    command = [str(EMULATOR / "bin/python"), "-m", "awslambdaric", completions.handler]
    variables = environment(completions, api.address, credentials)
    return subprocess.Popen(command, cwd=completions.code, env=variables, stdout=subprocess.DEVNULL)


@asynccontextmanager
async def plain_relay(url: str) -> AsyncIterator[tuple[SendRequest, int]]:
    """Runs the relay under uvicorn. Yields its request function and its process id."""
    [port] = free_ports(1)
    python = ROOT / ".local/bench/bin/python"
    options = ("-m", "uvicorn", "tools.bench.plain_relay:app", "--port", str(port), "--log-level", "warning")
    process = await asyncio.create_subprocess_exec(python, *options, cwd=ROOT, env=os.environ | {"UPSTREAM": url})
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

            async def send() -> tuple[float, bytes]:
                async with session.post("/v1/chat/completions", json=BODY) as response:
                    chunks = response.content.iter_any()
                    first = await anext(chunks)
                    arrived = time.monotonic()
                    async for _ in chunks:
                        pass
                return arrived, first

            await _wait_until_ready(send)
            yield send, process.pid
    finally:
        process.terminate()
        await process.wait()


async def first_byte_ms(send: SendRequest) -> float:
    """Returns the time from sending the first event to its arrival, in milliseconds."""
    arrived, first = await send()
    return (arrived - upstream.sent_ns(first) / 1e9) * 1000


async def cpu_per_event_us(send: SendRequest, process: int) -> float:
    """Returns the process's user and system time per event, in microseconds."""
    before = _cpu_s(process)
    await send()
    return (_cpu_s(process) - before) / MANY_EVENTS * 1e6


async def measure() -> None:
    """Prints the first-byte delay and the CPU time of function and relay, and of translated streams."""
    with LocalSystem(environ={"TOKENHUB": "off"}) as system:
        few, many = await upstream.serve(3, PAUSE_S), await upstream.serve(MANY_EVENTS, 0)
        async with function(system, _url(few)) as ours, plain_relay(_url(few)) as (theirs, _):
            delays = [
                (await first_byte_ms(ours.chat), await first_byte_ms(theirs), await first_byte_ms(ours.responses))
                for _ in range(ROUNDS)
            ]
        _print("first byte added, ms (median)", *map(statistics.median, zip(*delays, strict=True)))
        async with function(system, _url(many)) as ours, plain_relay(_url(many)) as (theirs, relay):
            costs = [
                (
                    await cpu_per_event_us(ours.chat, ours.process),
                    await cpu_per_event_us(theirs, relay),
                    await cpu_per_event_us(ours.responses, ours.process),
                )
                for _ in range(5)
            ]
        _print("CPU per event, µs (median)", *map(statistics.median, zip(*costs, strict=True)))


def _print(label: str, ours: float, theirs: float, translated: float) -> None:
    print(f"{label}: function {ours:.2f}, FastAPI relay {theirs:.2f}, ratio {ours / theirs:.2f}", flush=True)
    ratio, difference = translated / ours, translated - ours
    print(f"  translated Responses {translated:.2f}, ratio {ratio:.2f}, difference {difference:.2f}", flush=True)


def _url(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _wait_until_ready(send: SendRequest, tries: int = 100) -> None:
    for _ in range(tries):
        try:
            await send()
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    asyncio.run(measure())
