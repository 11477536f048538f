import asyncio

import pytest

from tests.unit.tools.local.runtime_client import (
    PRELUDE,
    STREAMED,
    Runtime,
    is_free,
    run,
    wait_until_free,
)
from tools.local.lambda_runtime.invocation import FunctionError, Invocation
from tools.local.lambda_runtime.runtime_api import RuntimeApi


def test_disconnect_resets_the_stream_and_the_worker_stays_busy_until_next() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await invocation.prelude()
        invocation.abandon()
        with pytest.raises(ConnectionError):
            await stream.send_endlessly()
        assert not is_free(api)
        next_call = asyncio.create_task(runtime.next())
        await wait_until_free(api)
        api.submit(Invocation("id-2", b"{}"))
        await next_call

    run(scenario)


def test_resets_a_stream_that_begins_after_the_disconnect() -> None:
    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        invocation.abandon()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        with pytest.raises(ConnectionError):
            await stream.send_endlessly()

    run(scenario)


def test_reads_the_complete_stream_when_disconnects_are_ignored() -> None:
    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        stream = await runtime.open("POST", "/invocation/id-1/response", STREAMED)
        await stream.chunk(PRELUDE)
        await invocation.prelude()
        invocation.abandon()
        for _ in range(100):
            await stream.chunk(b"x" * 1000)
        await stream.send(b"0\r\n\r\n")

        assert (await stream.response())[0] == 202
        assert is_free(api)

    run(scenario, on_disconnect="ignore")


def test_deadline_fails_the_invocation_and_reports_it() -> None:
    deadlines: list[bool] = []
    log: list[str] = []

    async def scenario(_: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        with pytest.raises(FunctionError):
            await invocation.prelude()

    run(scenario, timeout_s=0.1, on_deadline=lambda: deadlines.append(True), log=log.append)

    assert deadlines == [True]
    assert log == ["id-1 Task timed out after 0.10 seconds"]


def test_response_stops_the_timer() -> None:
    deadlines: list[bool] = []

    async def scenario(_: RuntimeApi, runtime: Runtime, __: Invocation) -> None:
        await runtime.next()
        await runtime.call("POST", "/invocation/id-1/response", body=PRELUDE)
        await asyncio.sleep(3)

    run(scenario, timeout_s=2.5, on_deadline=lambda: deadlines.append(True))

    assert deadlines == []


def test_worker_stays_busy_after_a_too_large_response_until_next() -> None:
    """awslambdaric exits then, and another invocation would fail with it."""

    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        status, _, _ = await runtime.call("POST", "/invocation/id-1/response", body=b"x" * (7 * 1024 * 1024))

        assert status == 413
        assert not is_free(api)
        next_call = asyncio.create_task(runtime.next())
        await wait_until_free(api)
        api.submit(Invocation("id-2", b"{}"))
        await next_call
        with pytest.raises(FunctionError, match="ResponseSizeTooLarge"):
            await invocation.prelude()

    run(scenario)
