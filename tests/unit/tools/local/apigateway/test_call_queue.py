import asyncio

import pytest

from tools.local.apigateway.call_queue import CallQueue
from tools.local.apigateway.local_errors import QueueLimit


def test_refuses_a_call_that_waited_too_long() -> None:
    async def check() -> None:
        queue = CallQueue(1, max_wait_s=0.05)
        async with queue.slot():
            with pytest.raises(QueueLimit, match="runs at most 1 requests of this kind at once"):
                async with queue.slot():
                    pass
        # The refused call must not have taken the slot.
        async with queue.slot():
            pass

    asyncio.run(check())


def test_refuses_a_call_at_once_if_too_many_wait() -> None:
    async def check() -> None:
        queue = CallQueue(1, max_waiting=1, max_wait_s=60)

        async def wait() -> None:
            async with queue.slot():
                pass

        async with queue.slot():
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            with pytest.raises(QueueLimit):
                await wait()
        await waiting

    asyncio.run(check())


def test_cancelled_call_leaves_the_queue() -> None:
    async def check() -> None:
        queue = CallQueue(1, max_waiting=1)

        async def wait() -> None:
            async with queue.slot():
                pass

        async with queue.slot():
            for _ in range(3):
                waiting = asyncio.create_task(wait())
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
        await wait()

    asyncio.run(check())
