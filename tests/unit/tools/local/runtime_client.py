"""A runtime client with full control over each byte, for the tests of the Runtime API."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import h11

from tools.local.lambda_runtime.invocation import Invocation
from tools.local.lambda_runtime.runtime_api import RuntimeApi

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f:live"
ROOT = "/2018-06-01/runtime"
PRELUDE = b'{"statusCode": 200}' + bytes(8)
STREAMED = {"Lambda-Runtime-Function-Response-Mode": "streaming", "Transfer-Encoding": "chunked"}
INVALID_TRANSITION = "InvalidStateTransition"


class Runtime:
    """A runtime client that opens one connection per call."""

    def __init__(self, address: str) -> None:
        self._host, port = address.split(":")
        self._port = int(port)
        self._writers: list[asyncio.StreamWriter] = []

    async def call(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Any:
        stream = await self.open(method, path, {"Content-Length": str(len(body))} | (headers or {}))
        await stream.send(body)
        return await stream.response()

    async def open(self, method: str, path: str, headers: dict[str, str]) -> "Stream":
        reader, writer = await asyncio.open_connection(self._host, self._port)
        self._writers.append(writer)
        all_headers = {"Host": f"{self._host}:{self._port}"} | headers
        lines = [f"{method} {ROOT}{path} HTTP/1.1", *(f"{k}: {v}" for k, v in all_headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return Stream(reader, writer)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    async def next(self) -> dict[str, str]:
        status, headers, _ = await self.call("GET", "/invocation/next")
        assert status == 200
        return dict(headers)


class Stream:
    """A request in progress."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def response(self) -> tuple[int, dict[str, str], Any]:
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        http.send(h11.EndOfMessage())
        head, body = None, b""
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(await self._reader.read(4096))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
        self._writer.close()
        assert head is not None
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return head.status_code, headers, json.loads(body)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def send_endlessly(self) -> None:
        while True:
            await self.chunk(b"x" * 1000)
            await asyncio.sleep(0.005)


type Scenario = Callable[[RuntimeApi, Runtime, Invocation], Awaitable[None]]


def run(scenario: Scenario, **options: Any) -> None:
    """Runs a scenario against a listening API with one invocation queued."""

    async def run_scenario() -> None:
        settings: dict[str, Any] = {"on_disconnect": "reset", "log": lambda _: None, "on_deadline": lambda: None}
        timeout_s, submitted = options.pop("timeout_s", 10), options.pop("submitted", True)
        api = RuntimeApi(ARN, timeout_s, **(settings | options))
        await api.start()
        invocation = Invocation("id-1", b'{"a": 1}')
        if submitted:
            api.submit(invocation)
        runtime = Runtime(api.address)
        try:
            async with asyncio.timeout(30):
                await scenario(api, runtime, invocation)
        finally:
            runtime.close()
            await api.close()

    asyncio.run(run_scenario())


def is_free(api: RuntimeApi) -> bool:
    return api.free


async def wait_until_free(api: RuntimeApi) -> None:
    async with asyncio.timeout(30):
        while not api.free:  # noqa: ASYNC110 (the API has no event for it)
            await asyncio.sleep(0.005)


async def body(invocation: Invocation) -> bytes:
    return b"".join([chunk async for chunk in invocation.chunks()])
