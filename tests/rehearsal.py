"""Runs the rehearsal TokenHub in a thread on a free port, for tests."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from tools.rehearsal.modes import Rehearsal
from tools.rehearsal.server import RecordedRequest, TokenHub, serving

KEY = "your-tokenhub-api-key"


class RunningTokenHub:
    """`with RunningTokenHub() as tokenhub:`; `stop()` and `start()` keep the port and the records.

    `url` is the origin, without `/v1`. `requests` lists the received requests, except those to `/_rehearse`. `sent`
    lists every chunk written to a stream with its monotonic time. `log` lists the log lines.
    """

    def __init__(self, *, strict_keys: bool = False) -> None:
        self.log: list[str] = []
        self._hub = TokenHub(strict_keys=strict_keys, log=self.log.append)
        self._port = 0
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[RecordedRequest]:
        return self._hub.requests

    @property
    def sent(self) -> list[tuple[float, bytes]]:
        return self._hub.sent

    def rehearse(self, mode: str, times: int | None = None, **options: Any) -> None:
        """Sets the mode of the next `times` requests. The options are `delay_ms` and `path`."""
        self._hub.rehearsal = Rehearsal(mode, times, **options)

    def reset(self) -> None:
        """Restores the normal mode and clears all records."""
        self.rehearse("normal")
        for records in (self.requests, self.sent, self.log):
            records.clear()

    def start(self) -> None:
        started: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        self._port = started.result(timeout=30)

    def stop(self) -> None:
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(timeout=30)
            self._thread = None

    async def _serve(self, started: Future[int]) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with serving(self._hub, "127.0.0.1", self._port) as port:
                started.set_result(port)
                await self._stopped.wait()
        except OSError as error:
            started.set_exception(error)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def chat_body(
    text: str = "Grüße aus Zürich, 東京 und 🚀 im All", *, model: str = "echo", **fields: Any
) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def sse_frames(body: bytes) -> list[str]:
    return [frame for frame in body.decode().replace("\r\n", "\n").split("\n\n") if frame]


def streamed_text(body: bytes) -> str:
    chunks = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])


def wait_until(condition: Callable[[], object], limit: float = 10.0, every: float = 0.01) -> bool:
    """Waits until the condition is true, for at most `limit` seconds. Returns whether it became true.

    Pass a larger `every` (seconds) when the condition sends a request to the local system.
    """
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every)
    return bool(condition())
