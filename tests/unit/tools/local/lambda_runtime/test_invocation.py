import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tools.local.lambda_runtime.invocation import (
    DELIMITER,
    FunctionFailed,
    Invocation,
    Prelude,
    StreamCut,
    parse_prelude,
)

PRELUDE = b'{"statusCode": 200}' + DELIMITER


def run(scenario: Callable[[Invocation], Awaitable[Any]]) -> Any:
    async def running() -> Any:
        async with asyncio.timeout(3):
            return await scenario(Invocation("id-1", b"{}"))

    return asyncio.run(running())


async def rest(invocation: Invocation) -> list[bytes]:
    return [chunk async for chunk in invocation.chunks()]


@pytest.mark.parametrize("cut", [1, 18, 19, 20, 26, 27, 28])
def test_the_prelude_may_arrive_in_any_pieces(cut: int) -> None:
    async def scenario(invocation: Invocation) -> None:
        data = PRELUDE + b"body"
        await invocation.feed(data[:cut])
        await invocation.feed(data[cut:])
        invocation.finish()

        assert await invocation.prelude() == Prelude(200, ())
        assert b"".join(await rest(invocation)) == b"body"

    run(scenario)


def test_chunks_stay_apart_and_empty_ones_are_left_out() -> None:
    async def scenario(invocation: Invocation) -> None:
        for data in (PRELUDE, b"a", b"", DELIMITER, b"b"):
            await invocation.feed(data)
        invocation.finish()

        assert await rest(invocation) == [b"a", DELIMITER, b"b"]

    run(scenario)


@pytest.mark.parametrize(("size", "accepted"), [(16 * 1024, True), (16 * 1024 + 1, False)])
def test_prelude_and_delimiter_must_lie_within_16_kib(size: int, accepted: bool) -> None:
    metadata = b'{"statusCode": 200, "pad": "%b"}'
    metadata = metadata % (b"x" * (size - len(metadata) + 2 - len(DELIMITER)))
    assert len(metadata + DELIMITER) == size

    async def scenario(invocation: Invocation) -> bool:
        await invocation.feed(metadata + DELIMITER)
        try:
            return bool(await invocation.prelude())
        except FunctionFailed:
            return False

    assert run(scenario) is accepted


def test_an_answer_without_prelude_fails() -> None:
    async def scenario(invocation: Invocation) -> None:
        await invocation.feed(b'{"statusCode": 200, "body": "x"}')
        invocation.finish()
        with pytest.raises(FunctionFailed, match="no metadata prelude"):
            await invocation.prelude()

    run(scenario)


def test_a_failure_after_the_prelude_cuts_the_body_after_what_has_come() -> None:
    async def scenario(invocation: Invocation) -> None:
        await invocation.feed(PRELUDE + b"a")
        invocation.fail("first")
        invocation.fail("second")
        chunks = invocation.chunks()

        assert await anext(chunks) == b"a"
        with pytest.raises(StreamCut, match="first"):
            await anext(chunks)

    run(scenario)


def test_a_slow_client_holds_the_function_back_and_one_that_leaves_lets_it_go() -> None:
    async def scenario(invocation: Invocation) -> None:
        await invocation.feed(PRELUDE)

        async def produce() -> None:
            for _ in range(100):
                await invocation.feed(b"x")

        producing = asyncio.create_task(produce())
        await asyncio.sleep(0.02)
        assert not producing.done()
        invocation.abandon()
        await producing

    run(scenario)


def test_a_failure_that_nobody_waits_for_any_more_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
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
def test_headers_of_all_three_kinds_are_sent(metadata: dict[str, Any], headers: tuple[tuple[str, str], ...]) -> None:
    assert parse_prelude(json.dumps({"statusCode": 299, **metadata}).encode()) == Prelude(299, headers)


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
def test_metadata_that_api_gateway_cannot_use_is_refused(metadata: bytes) -> None:
    with pytest.raises(ValueError, match=r"not JSON|no statusCode|belongs to API Gateway|line break"):
        parse_prelude(metadata)
