import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import h11
import pytest

from local.invocation import FunctionFailed, Invocation, Prelude, StreamCut
from local.runtime_api import RuntimeApi

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f:live"
ROOT = "/2018-06-01/runtime"
PRELUDE = b'{"statusCode": 200}' + bytes(8)
STREAMED = {"Lambda-Runtime-Function-Response-Mode": "streaming", "Transfer-Encoding": "chunked"}
TRANSITION = "InvalidStateTransition"


class Runtime:
    """A runtime client that says exactly what a test wants it to say, one connection per call."""

    def __init__(self, address: str) -> None:
        self._host, port = address.split(":")
        self._port = int(port)
        self._writers: list[asyncio.StreamWriter] = []

    async def call(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Any:
        stream = await self.open(method, path, {"Content-Length": str(len(body))} | (headers or {}))
        await stream.send(body)
        return await stream.answer()

    async def open(self, method: str, path: str, headers: dict[str, str]) -> "Stream":
        reader, writer = await asyncio.open_connection(self._host, self._port)
        self._writers.append(writer)
        lines = [f"{method} {ROOT}{path} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
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
    """A request that is under way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        http.send(h11.EndOfMessage())
        response, body = None, b""
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(await self._reader.read(4096))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
        self._writer.close()
        assert response is not None
        headers = {name.decode(): value.decode() for name, value in response.headers}
        return response.status_code, headers, json.loads(body)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def endlessly(self) -> None:
        while True:
            await self.chunk(b"x" * 1000)
            await asyncio.sleep(0.005)


type Scenario = Callable[[RuntimeApi, Runtime, Invocation], Awaitable[None]]


def run(scenario: Scenario, **options: Any) -> None:
    """Plays a scenario against a listening API with one invocation queued."""

    async def playing() -> None:
        settings: dict[str, Any] = {"client_gone": "reset", "log": lambda _: None, "on_deadline": lambda: None}
        timeout_s = options.pop("timeout_s", 10)
        api = RuntimeApi(ARN, timeout_s, **(settings | options))
        await api.start()
        invocation = Invocation("id-1", b'{"a": 1}')
        api.submit(invocation)
        runtime = Runtime(api.address)
        try:
            async with asyncio.timeout(5):
                await scenario(api, runtime, invocation)
        finally:
            runtime.close()
            await api.close()

    asyncio.run(playing())


def is_free(api: RuntimeApi) -> bool:
    return api.free


async def until_free(api: RuntimeApi) -> None:
    for _ in range(500):
        if api.free:
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


async def body(invocation: Invocation) -> bytes:
    return b"".join([chunk async for chunk in invocation.chunks()])


def test_the_next_event_comes_with_lambdas_headers() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        status, headers, event = await runtime.call("GET", "/invocation/next")

        assert (status, event) == (200, {"a": 1})
        assert headers["lambda-runtime-aws-request-id"] == "id-1"
        assert headers["lambda-runtime-invoked-function-arn"] == ARN
        assert headers["lambda-runtime-invocation-id"] == invocation.attempt
        assert headers["lambda-runtime-trace-id"].startswith("Root=1-")
        assert 9 < int(headers["lambda-runtime-deadline-ms"]) / 1000 - time.time() < 10.1

    run(scenario)


def test_next_waits_for_an_event() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, _: Invocation) -> None:
        await runtime.next()
        await runtime.call("POST", "/invocation/id-1/response", body=PRELUDE)
        waiting = asyncio.create_task(runtime.next())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert is_free(api)
        api.submit(Invocation("id-2", b"{}"))
        assert not is_free(api)
        assert (await waiting)["lambda-runtime-aws-request-id"] == "id-2"

    run(scenario)


def test_a_stream_is_handed_on_while_it_is_made() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        assert await invocation.prelude() == Prelude(200, ())
        chunks = invocation.chunks()
        for data in (b"one", b"two"):
            await stream.chunk(data)
            assert await anext(chunks) == data
        await stream.send(b"0\r\n\r\n")

        assert (await stream.answer())[0] == 202
        assert [chunk async for chunk in chunks] == []
        assert is_free(api)

    run(scenario)


def test_trailers_with_an_error_type_cut_the_stream_and_keep_the_worker() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await stream.send(b"0\r\nLambda-Runtime-Function-Error-Type: Function.X\r\n\r\n")

        assert (await stream.answer())[0] == 202
        with pytest.raises(StreamCut, match=r"Function\.X"):
            await body(invocation)
        assert is_free(api)

    run(scenario)


def test_what_a_process_had_sent_before_it_ended_is_still_handed_on() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await invocation.prelude()
        chunks = invocation.chunks()
        await stream.chunk(b"last words")
        closing = asyncio.create_task(stream.close())
        await api.end("the process ended")

        assert await anext(chunks) == b"last words"
        with pytest.raises(StreamCut):
            await anext(chunks)
        await closing

    run(scenario)


@pytest.mark.parametrize("end", [b"", b"5\r\nab", b"no size\r\n"])
def test_a_stream_without_its_end_is_cut_and_the_worker_refused(end: bytes) -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await stream.send(end)
        await stream.close()

        with pytest.raises(StreamCut, match="TruncatedResponse"):
            await body(invocation)
        assert not is_free(api)
        assert (await runtime.call("GET", "/invocation/next"))[0] == 403

    run(scenario)


def test_next_is_refused_while_an_invocation_is_not_answered() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, __: Invocation) -> None:
        await runtime.next()
        assert await refusal(runtime, "GET", "/invocation/next") == (403, TRANSITION)
        await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        assert await refusal(runtime, "GET", "/invocation/next") == (403, TRANSITION)

    run(scenario)


async def refusal(runtime: Runtime, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    status, _, said = await runtime.call(method, path, headers)
    return status, said["errorType"]


def test_an_answer_is_taken_once_and_only_for_the_invocation_that_runs() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, __: Invocation) -> None:
        assert await refusal(runtime, "POST", "/invocation/id-1/response") == (403, TRANSITION)
        await runtime.next()
        assert await refusal(runtime, "POST", "/invocation/id-2/response") == (400, "InvalidRequestID")
        stale = {"Lambda-Runtime-Invocation-Id": "another"}
        assert await refusal(runtime, "POST", "/invocation/id-1/response", stale) == (400, "InvalidRequestID")
        assert (await runtime.call("POST", "/invocation/id-1/response", body=PRELUDE))[0] == 202
        assert await refusal(runtime, "POST", "/invocation/id-1/response") == (403, TRANSITION)
        assert await refusal(runtime, "POST", "/invocation/id-1/error") == (403, TRANSITION)

    run(scenario)


def test_the_mode_of_a_stream_is_case_sensitive() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        mode = {"Lambda-Runtime-Function-Response-Mode": "Streaming"}
        said = await refusal(runtime, "POST", "/invocation/id-1/response", mode)

        assert said == (400, "InvalidFunctionResponseMode")
        with pytest.raises(FunctionFailed):
            await invocation.prelude()

    run(scenario)


def test_an_error_overtakes_a_stream_that_has_begun() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await invocation.prelude()
        assert (await runtime.call("POST", "/invocation/id-1/error"))[0] == 202
        await stream.chunk(b"more")

        assert (await stream.answer())[0] == 403
        with pytest.raises(StreamCut):
            await body(invocation)

    run(scenario)


@pytest.mark.parametrize("path", ["/init/error", "/invocation/id-1/error"])
def test_the_type_of_an_error_is_kept_for_the_log_and_its_text_is_not(path: str) -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        if "init" not in path:
            await runtime.next()
        headers = {"Lambda-Runtime-Function-Error-Type": "Runtime.X"}
        assert (await runtime.call("POST", path, headers, b'{"errorMessage": "a secret"}'))[0] == 202

        with pytest.raises(FunctionFailed, match=r"Runtime\.X"):
            await invocation.prelude()
        assert "secret" not in str(invocation.failure)

    run(scenario)


@pytest.mark.parametrize("path", ["/nonsense", "/invocation/id-1/response", "/invocation/next/x"])
def test_another_path_or_method_is_404(path: str) -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, __: Invocation) -> None:
        assert (await runtime.call("GET", path))[0] == 404

    run(scenario)


def test_the_stream_of_a_client_that_has_gone_is_reset_and_the_worker_busy_until_it_asks_again() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await invocation.prelude()
        invocation.abandon()
        with pytest.raises(ConnectionError):
            await stream.endlessly()
        assert not is_free(api)
        asking = asyncio.create_task(runtime.next())
        await until_free(api)
        api.submit(Invocation("id-2", b"{}"))
        await asking

    run(scenario)


def test_a_stream_that_begins_after_its_client_has_gone_is_reset_at_once() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        invocation.abandon()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        with pytest.raises(ConnectionError):
            await stream.endlessly()

    run(scenario)


def test_under_the_policy_ignore_the_stream_is_taken_to_its_end() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await invocation.prelude()
        invocation.abandon()
        for _ in range(100):
            await stream.chunk(b"x" * 1000)
        await stream.send(b"0\r\n\r\n")

        assert (await stream.answer())[0] == 202
        assert is_free(api)

    run(scenario, client_gone="ignore")


def test_at_the_deadline_the_invocation_ends_and_the_worker_is_to_be_killed() -> None:
    killed: list[bool] = []
    log: list[str] = []

    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        with pytest.raises(FunctionFailed):
            await invocation.prelude()

    run(scenario, timeout_s=0.1, on_deadline=lambda: killed.append(True), log=log.append)

    assert killed == [True]
    assert log == ["id-1 Task timed out after 0.10 seconds"]


def test_an_answer_stops_the_clock() -> None:
    killed: list[bool] = []

    async def scenario(_: RuntimeApi, runtime: Runtime, __: Invocation) -> None:
        await runtime.next()
        await runtime.call("POST", "/invocation/id-1/response", body=PRELUDE)
        await asyncio.sleep(0.2)

    run(scenario, timeout_s=0.1, on_deadline=lambda: killed.append(True))

    assert killed == []
