"""The client's side of a streamed answer: each piece is written the moment it comes."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from tools.local.lambda_runtime.invocation import Invocation, Prelude, StreamCut

_LOOK_S = 0.05  # how often it is looked whether the client is still there: aiohttp tells only a handler that writes

# Headers of a function that API Gateway renames, because they are its own.
_REMAPPED = {"date", "server", "www-authenticate", "x-amzn-requestid"}


class ClientGoneError(ConnectionError):
    """The client has closed the connection."""


async def while_connected[T](request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """Does `work`, but cancels it when the client leaves. Raises ClientGoneError then."""
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_S))[0]:
            if request.transport is None or request.transport.is_closing():
                raise ClientGoneError
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def relay(request: web.Request, invocation: Invocation, request_id: str) -> web.StreamResponse:
    """Sends the invocation's answer to the client. One that breaks off ends without a terminator, by a close."""
    prelude = await invocation.prelude()
    response = web.StreamResponse(status=prelude.status, headers=response_headers(prelude, request_id))
    await response.prepare(request)
    whole = False
    try:
        async for chunk in invocation.chunks():
            if response.status not in {204, 304}:
                await response.write(chunk)
        await response.write_eof()
        whole = True
    except StreamCut:
        pass  # the close tells the client, and `invocation.failure` the log
    finally:
        if not whole and request.transport is not None:
            request.transport.close()
    return response


def response_headers(prelude: Prelude, request_id: str) -> CIMultiDict[str]:
    """The function's headers and API Gateway's."""
    headers = CIMultiDict[str]()
    for name, value in prelude.headers:
        headers.add(f"x-amzn-Remapped-{name}" if name.lower() in _REMAPPED else name, value)
    headers.setdefault("Content-Type", "application/json")
    headers["x-amzn-RequestId"] = request_id
    return headers
