"""Timed requests to a program, over HTTP or through Lambda's Runtime API."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from runtime_api import RuntimeApi
from tests.template import ROOT
from tools.bench import upstream

# Sends one request with this body.
Send = Callable[[dict[str, object]], Awaitable["Call"]]


@dataclass(frozen=True)
class Call:
    """The times of one request, in seconds of the monotonic clock. `sent` is when the provider sent the first event."""

    started: float
    sent: float
    arrived: float
    ended: float


def http_sender(session: aiohttp.ClientSession, path: str = "/v1/chat/completions") -> Send:
    """Returns a function that sends requests with this session. It raises aiohttp.ClientError for an error status."""

    async def send(body: dict[str, object]) -> Call:
        started = time.monotonic()
        async with session.post(path, json=body) as response:
            response.raise_for_status()
            data, arrived = b"", 0.0
            async for chunk in response.content.iter_any():
                if not arrived:
                    data += chunk
                    arrived = time.monotonic() if _has_time(data) else 0.0
        return Call(started, upstream.sent_ns(data) / 1e9, arrived, time.monotonic())

    return send


def lambda_sender(api: RuntimeApi) -> Send:
    """Returns a function that invokes the function of this Runtime API."""
    event = json.loads((ROOT / "events/completion.json").read_text())

    async def send(body: dict[str, object]) -> Call:
        started = time.monotonic()
        posted = await asyncio.to_thread(lambda: api.invoke(**event | {"body": json.dumps(body)}))
        arrived = posted.arrived(upstream.SENT)
        first = next(data for read_at, data in posted.reads if read_at == arrived)
        return Call(started, upstream.sent_ns(first) / 1e9, arrived, posted.reads[-1][0])

    return send


def _has_time(data: bytes) -> bool:
    """Returns whether the whole sending time has arrived. A space follows it."""
    return b" " in data.partition(upstream.SENT)[2]
