import asyncio

import pytest

from tests.unit.tools.local.runtime_client import (
    PRELUDE,
    STREAMED,
    Runtime,
    is_free,
    run,
    until_free,
)
from tools.local.lambda_runtime.invocation import FunctionFailed, Invocation
from tools.local.lambda_runtime.runtime_api import RuntimeApi


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


def test_a_worker_whose_answer_was_too_large_is_busy_until_it_asks_again() -> None:
    """awslambdaric ends itself then, and an invocation that it had been given would fail with it."""

    async def scenario(api: RuntimeApi, runtime: Runtime, invocation: Invocation) -> None:
        await runtime.next()
        status, _, _ = await runtime.call("POST", "/invocation/id-1/response", body=b"x" * (7 * 1024 * 1024))

        assert status == 413
        assert not is_free(api)
        asking = asyncio.create_task(runtime.next())
        await until_free(api)
        api.submit(Invocation("id-2", b"{}"))
        await asking
        with pytest.raises(FunctionFailed, match="ResponseSizeTooLarge"):
            await invocation.prelude()

    run(scenario)
