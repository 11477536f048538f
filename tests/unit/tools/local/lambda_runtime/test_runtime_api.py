import asyncio
import time

import pytest

from tests.unit.tools.local.runtime_client import (
    ARN,
    INVALID_TRANSITION,
    PRELUDE,
    STREAMED,
    Runtime,
    body,
    is_free,
    run,
    wait_until_free,
)
from tools.local.lambda_runtime.invocation import FunctionError, Invocation, ResponsePrelude, StreamInterruptedError
from tools.local.lambda_runtime.runtime_api import RuntimeApi


def test_next_returns_the_event_with_lambdas_headers() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        status, headers, event = await runtime.call("GET", "/invocation/next")

        assert (status, event) == (200, {"a": 1})
        assert headers["lambda-runtime-aws-request-id"] == "id-1"
        assert headers["lambda-runtime-invoked-function-arn"] == ARN
        assert headers["lambda-runtime-invocation-id"] == invocation.attempt
        assert headers["lambda-runtime-trace-id"].startswith("Root=1-")
        assert 5 < int(headers["lambda-runtime-deadline-ms"]) / 1000 - time.time() < 10.1

    run(scenario)


@pytest.mark.parametrize(
    "page_headers",
    [{"Host": "rebound.evil.example.com"}, {"Origin": "https://evil.example.com"}, {"Sec-Fetch-Site": "same-site"}],
    ids=lambda headers: next(iter(headers)),
)
def test_rejects_web_pages(page_headers: dict[str, str]) -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        status, _headers, error = await runtime.call("GET", "/invocation/next", page_headers)

        assert (status, error["errorType"]) == (403, "Forbidden")
        assert (await runtime.next())["lambda-runtime-aws-request-id"] == invocation.id

    run(scenario)


def test_next_waits_for_an_event() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, _: Invocation) -> None:
        await runtime.next()
        await runtime.call("POST", "/invocation/id-1/response", body=PRELUDE)
        waiting = asyncio.create_task(runtime.next())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await wait_until_free(api)
        api.submit(Invocation("id-2", b"{}"))
        assert not is_free(api)
        assert (await waiting)["lambda-runtime-aws-request-id"] == "id-2"

    run(scenario)


def test_new_worker_is_not_free_before_its_first_invocation() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        next_call = asyncio.create_task(runtime.next())
        await asyncio.sleep(0.05)
        assert not is_free(api)
        api.submit(invocation)
        assert (await next_call)["lambda-runtime-aws-request-id"] == "id-1"

    run(scenario, submitted=False)


def test_init_failure_fails_the_first_invocation() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.call("POST", "/init/error", {"Lambda-Runtime-Function-Error-Type": "Runtime.ImportModuleError"})
        api.submit(invocation)
        with pytest.raises(FunctionError, match=r"initialisation failed: Runtime\.ImportModuleError"):
            await invocation.prelude()

    run(scenario, submitted=False)


def test_passes_on_a_stream_as_it_arrives() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        assert await invocation.prelude() == ResponsePrelude(200, ())
        chunks = invocation.chunks()
        for data in (b"one", b"two"):
            await stream.chunk(data)
            assert await anext(chunks) == data
        await stream.send(b"0\r\n\r\n")

        assert (await stream.response())[0] == 202
        assert [chunk async for chunk in chunks] == []
        assert is_free(api)

    run(scenario)


def test_error_trailers_interrupt_the_stream_and_keep_the_worker() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await stream.send(b"0\r\nLambda-Runtime-Function-Error-Type: Function.X\r\n\r\n")

        assert (await stream.response())[0] == 202
        with pytest.raises(StreamInterruptedError, match=r"Function\.X"):
            await body(invocation)
        assert is_free(api)

    run(scenario)


def test_passes_on_everything_that_an_ended_process_sent() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await invocation.prelude()
        chunks = invocation.chunks()
        await stream.chunk(b"last bytes")
        closing = asyncio.create_task(stream.close())
        await api.end("the process ended")

        assert await anext(chunks) == b"last bytes"
        with pytest.raises(StreamInterruptedError):
            await anext(chunks)
        await closing

    run(scenario)


@pytest.mark.parametrize("end", [b"", b"5\r\nab", b"no size\r\n"])
def test_truncated_stream_fails_and_its_worker_is_rejected(end: bytes) -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await stream.send(end)
        await stream.close()

        with pytest.raises(StreamInterruptedError, match="TruncatedResponse"):
            await body(invocation)
        assert not is_free(api)
        assert (await runtime.call("GET", "/invocation/next"))[0] == 403

    run(scenario)


def test_rejects_next_while_an_invocation_is_running() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, __: Invocation) -> None:
        await runtime.next()
        assert await call_rejected(runtime, "GET", "/invocation/next") == (403, INVALID_TRANSITION)
        await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        assert await call_rejected(runtime, "GET", "/invocation/next") == (403, INVALID_TRANSITION)

    run(scenario)


async def call_rejected(
    runtime: Runtime, method: str, path: str, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    status, _, error = await runtime.call(method, path, headers)
    return status, error["errorType"]


def test_accepts_one_response_for_the_current_invocation_only() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, __: Invocation) -> None:
        assert await call_rejected(runtime, "POST", "/invocation/id-1/response") == (403, INVALID_TRANSITION)
        await runtime.next()
        assert await call_rejected(runtime, "POST", "/invocation/id-2/response") == (400, "InvalidRequestID")
        stale = {"Lambda-Runtime-Invocation-Id": "another"}
        assert await call_rejected(runtime, "POST", "/invocation/id-1/response", stale) == (400, "InvalidRequestID")
        assert (await runtime.call("POST", "/invocation/id-1/response", body=PRELUDE))[0] == 202
        assert await call_rejected(runtime, "POST", "/invocation/id-1/response") == (403, INVALID_TRANSITION)
        assert await call_rejected(runtime, "POST", "/invocation/id-1/error") == (403, INVALID_TRANSITION)

    run(scenario)


def test_response_mode_is_case_sensitive() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        mode = {"Lambda-Runtime-Function-Response-Mode": "Streaming"}
        result = await call_rejected(runtime, "POST", "/invocation/id-1/response", mode)

        assert result == (400, "InvalidFunctionResponseMode")
        with pytest.raises(FunctionError):
            await invocation.prelude()

    run(scenario)


def test_error_ends_a_stream_that_has_begun() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await invocation.prelude()
        assert (await runtime.call("POST", "/invocation/id-1/error"))[0] == 202
        await stream.chunk(b"more")

        assert (await stream.response())[0] == 403
        with pytest.raises(StreamInterruptedError):
            await body(invocation)

    run(scenario)


@pytest.mark.parametrize("path", ["/init/error", "/invocation/id-1/error"])
def test_keeps_the_type_of_an_error_but_not_its_text(path: str) -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        if "init" not in path:
            await runtime.next()
        headers = {"Lambda-Runtime-Function-Error-Type": "Runtime.X"}
        assert (await runtime.call("POST", path, headers, b'{"errorMessage": "a secret"}'))[0] == 202

        with pytest.raises(FunctionError, match=r"Runtime\.X"):
            await invocation.prelude()
        assert "secret" not in str(invocation.failure)

    run(scenario)


@pytest.mark.parametrize("path", ["/nonsense", "/invocation/id-1/response", "/invocation/next/x"])
def test_returns_404_for_unknown_paths_and_methods(path: str) -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, __: Invocation) -> None:
        assert (await runtime.call("GET", path))[0] == 404

    run(scenario)
