import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tools.local.lambda_runtime.invocation import (
    DELIMITER,
    FunctionError,
    Invocation,
    ResponsePrelude,
    StreamInterruptedError,
    parse_prelude,
)

PRELUDE = b'{"statusCode": 200}' + DELIMITER


def run(scenario: Callable[[Invocation], Awaitable[Any]]) -> Any:
    async def run_scenario() -> Any:
        async with asyncio.timeout(30):
            return await scenario(Invocation("id-1", b"{}"))

    return asyncio.run(run_scenario())


async def read_chunks(invocation: Invocation) -> list[bytes]:
    return [chunk async for chunk in invocation.chunks()]


@pytest.mark.parametrize("split", [1, 18, 19, 20, 26, 27, 28])
def test_parses_a_prelude_split_at_any_byte(split: int) -> None:
    async def scenario(invocation: Invocation) -> None:
        data = PRELUDE + b"body"
        await invocation.feed(data[:split])
        await invocation.feed(data[split:])
        invocation.finish()

        assert await invocation.prelude() == ResponsePrelude(200, ())
        assert b"".join(await read_chunks(invocation)) == b"body"

    run(scenario)


def test_keeps_chunks_separate_and_drops_empty_ones() -> None:
    async def scenario(invocation: Invocation) -> None:
        for data in (PRELUDE, b"a", b"", DELIMITER, b"b"):
            await invocation.feed(data)
        invocation.finish()

        assert await read_chunks(invocation) == [b"a", DELIMITER, b"b"]

    run(scenario)


@pytest.mark.parametrize(("size", "accepted"), [(16 * 1024, True), (16 * 1024 + 1, False)])
def test_limits_prelude_and_delimiter_to_16_kib(size: int, accepted: bool) -> None:
    metadata = b'{"statusCode": 200, "pad": "%b"}'
    metadata = metadata % (b"x" * (size - len(metadata) + 2 - len(DELIMITER)))
    assert len(metadata + DELIMITER) == size

    async def scenario(invocation: Invocation) -> bool:
        await invocation.feed(metadata + DELIMITER)
        try:
            return bool(await invocation.prelude())
        except FunctionError:
            return False

    assert run(scenario) is accepted


def test_response_without_prelude_fails() -> None:
    async def scenario(invocation: Invocation) -> None:
        await invocation.feed(b'{"statusCode": 200, "body": "x"}')
        invocation.finish()
        with pytest.raises(FunctionError, match="no metadata prelude"):
            await invocation.prelude()

    run(scenario)


def test_failure_after_the_prelude_interrupts_the_body() -> None:
    async def scenario(invocation: Invocation) -> None:
        await invocation.feed(PRELUDE + b"a")
        invocation.fail("first")
        invocation.fail("second")
        chunks = invocation.chunks()

        assert await anext(chunks) == b"a"
        with pytest.raises(StreamInterruptedError, match="first"):
            await anext(chunks)

    run(scenario)


def test_slow_client_blocks_the_function_until_it_disconnects() -> None:
    async def scenario(invocation: Invocation) -> None:
        await invocation.feed(PRELUDE)

        async def produce() -> None:
            for _ in range(100):
                await invocation.feed(b"x")

        producer = asyncio.create_task(produce())
        await asyncio.sleep(0.02)
        assert not producer.done()
        invocation.abandon()
        await producer

    run(scenario)


def test_logs_nothing_for_a_failure_after_a_disconnect(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(invocation: Invocation) -> None:
        invocation.fail("too late")
        invocation.abandon()

    run(scenario)

    assert caplog.records == []


@pytest.mark.parametrize(
    ("metadata", "headers"),
    [
        ({}, ()),
        ({"headers": {"a": "b", "n": 1}}, (("a", "b"), ("n", "1"))),
        ({"headers": {"A": "b", "c": "d"}, "multiValueHeaders": {"a": [1, 2]}}, (("c", "d"), ("a", "1"), ("a", "2"))),
        ({"cookies": ["a=b", "c=d"]}, (("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"))),
        ({"headers": None, "multiValueHeaders": None, "cookies": None}, ()),
    ],
)  # fmt: skip
def test_sends_headers_multi_value_headers_and_cookies(
    metadata: dict[str, Any], headers: tuple[tuple[str, str], ...]
) -> None:
    assert parse_prelude(json.dumps({"statusCode": 299, **metadata}).encode()) == ResponsePrelude(299, headers)


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b'{"statusCode": "200"}',
        b'{"statusCode": 99}',
        b'{"statusCode": 600}',
        b'{"statusCode": 200, "headers": {"Content-Length": "1"}}',
        b'{"statusCode": 200, "multiValueHeaders": {"Transfer-Encoding": ["chunked"]}}',
        b'{"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}',
        b'{"statusCode": 200, "headers": {"a\\n": "b"}}',
    ],
)
def test_rejects_metadata_that_api_gateway_rejects(metadata: bytes) -> None:
    with pytest.raises(ValueError, match=r"not JSON|statusCode|only API Gateway|control character|invalid character"):
        parse_prelude(metadata)
