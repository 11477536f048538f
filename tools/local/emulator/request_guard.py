"""ASGI middleware of the local AWS: rejects requests from web pages and counts requests that may change state."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tools.local import browser_guard

READ_ACTIONS = ("Get", "List", "Describe", "BatchGet", "Query", "Scan", "Filter", "Assume")

_ORIGINAL_NAMES = {alias.encode(): name.encode() for name, alias in browser_guard.FORWARDED_NAMES.items()}

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Any]]
type Send = Callable[[Any], Awaitable[None]]
type Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class RequestGuard:
    """Wraps ministack. `changes` counts possible writes; `loaded` turns true when ministack has restored its state.

    Until `loaded` is true, memory holds less than the newest snapshot, so nothing may be saved. `on_loaded` runs just
    before `loaded` becomes true, and before the first request.
    """

    def __init__(self, app: Application, on_loaded: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._on_loaded = on_loaded
        self.changes = 0
        self.loaded = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._watch_startup(send))
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope.get("headers", ())]
        # ministack would let any web page read and reset it.
        if reason := browser_guard.rejection_reason(headers):
            await _reject(scope, send, f"The local AWS {reason}.\n")
            return
        scope["headers"] = [(_ORIGINAL_NAMES.get(name, name), value) for name, value in scope.get("headers", ())]
        try:
            await self._app(scope, receive, send)
        finally:
            # Counted at the end: a snapshot during the request may lack its change, and the next one must follow.
            if _may_change_state(scope):
                self.changes += 1

    def _watch_startup(self, send: Send) -> Send:
        async def watch(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._on_loaded()
                self.loaded = True
            await send(message)

        return watch


def _may_change_state(scope: Scope) -> bool:
    target = dict(scope["headers"]).get(b"x-amz-target", b"").decode("latin-1")
    action = target.rpartition(".")[2]
    return scope.get("method") != "GET" and not action.startswith(READ_ACTIONS)


async def _reject(scope: Scope, send: Send, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})
