"""Streams a function's response to the client. Each chunk is written as soon as the function sends it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from tools.local.lambda_runtime.invocation import Invocation, ResponsePrelude, StreamInterruptedError

# aiohttp reports a disconnect only to a handler that writes, so the connection is polled.
_DISCONNECT_POLL_S = 0.05

# API Gateway sets these headers itself and renames the function's.
_REMAPPED = {"date", "server", "www-authenticate", "x-amzn-requestid"}


class ClientDisconnectedError(ConnectionError):
    """The connection is closed, by the client or because the response cannot be sent."""


async def cancel_on_disconnect[T](request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`. Cancels it and raises ClientDisconnectedError if the client disconnects first."""
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=_DISCONNECT_POLL_S))[0]:
            if request.transport is None or request.transport.is_closing():
                raise ClientDisconnectedError
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def stream_response(request: web.Request, invocation: Invocation, request_id: str) -> web.StreamResponse:
    """Sends the invocation's response to the client.

    An interrupted response ends without the final chunk and closes the connection, so the client detects it.
    """
    prelude = await invocation.prelude()
    response = web.StreamResponse(status=prelude.status, headers=response_headers(prelude, request_id))
    try:
        await response.prepare(request)
    except ValueError as error:
        # aiohttp has already changed the connection's state, so another response would be framed wrongly.
        if request.transport is not None:
            request.transport.close()
        raise ClientDisconnectedError from error
    complete = False
    try:
        async for chunk in invocation.chunks():
            if response.status not in {204, 304}:
                await response.write(chunk)
        await response.write_eof()
        complete = True
    except StreamInterruptedError:
        # The worker pool logs the reason, `invocation.failure`.
        pass
    finally:
        if not complete and request.transport is not None:
            request.transport.close()
    return response


def response_headers(prelude: ResponsePrelude, request_id: str) -> CIMultiDict[str]:
    """Returns the function's headers together with API Gateway's."""
    headers = CIMultiDict[str]()
    for name, value in prelude.headers:
        headers.add(f"x-amzn-Remapped-{name}" if name.lower() in _REMAPPED else name, value)
    headers.setdefault("Content-Type", "application/json")
    headers["x-amzn-RequestId"] = request_id
    return headers
