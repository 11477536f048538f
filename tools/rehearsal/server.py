"""The rehearsal TokenHub: answers as the real one does, oddities included, with an echoing model.

`python -m tools.rehearsal.server --port 8090` runs it alone. Two things differ on purpose: web pages are refused,
and any non-empty key is accepted, so that examples work without a real one; `--key-format strict` checks the real
format (`tokenhub_` and 64 hex digits), and the mode `refuse_key` refuses every key.

`PUT /_rehearse {"mode": "slow", "times": 3, "delay_ms": 50, "path": "/v1/chat/completions"}` sets a mode for
the next requests (`times` null: until changed), GET shows it, DELETE ends it. Without `path` it is for the
POST routes; `no_models` and `no_providers` then change GET /v1/models and /healthz too. The model name
`rehearse/<mode>` selects a mode for one request. The modes are in `tools.rehearsal.modes`.
"""

import argparse
import asyncio
import ipaddress
import json
import re
import secrets
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from tools.local import browser_guard
from tools.rehearsal import modes
from tools.rehearsal.answers import BODY_LIMIT, REHEARSE_PREFIX, ROUTES, Route, json_answer, plain_error, served_model
from tools.rehearsal.call import WRAPPED, Answer, Call, Cut, Json, Piece, inner_request
from tools.rehearsal.modes import Rehearsal, rehearsal, unknown_mode

CONTROL_PATH = "/_rehearse"
REAL_KEY = re.compile(r"tokenhub_[0-9a-f]{64}")


@dataclass
class Seen:
    """A request that came. Times are `time.monotonic()`; `left_at` is set when its client left before the end."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    mode: str = "-"
    status: int | None = None
    left_at: float | None = None


def credential(headers: dict[str, str]) -> str:
    """The key as TokenHub takes it (T:internal/apikey/middleware.go): a Bearer token first, else x-api-key."""
    authorization = headers.get("authorization", "")
    if authorization.startswith("Bearer "):
        return authorization.removeprefix("Bearer ")
    return headers.get("x-api-key", "")


def read_json(body: bytes) -> tuple[Json, str | None]:
    """(the object, what is wrong with it in about Go's words)."""
    if len(body) > BODY_LIMIT:
        return {}, "http: request body too large"
    if not body.strip():
        return {}, "EOF"
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}, f"invalid character {chr(body.lstrip()[0])!r} looking for beginning of value"
    if isinstance(value, dict):
        return value, None
    return {}, "json: cannot unmarshal into Go value of type httpapi.CompletionsRequest"


class TokenHub:
    """What it rehearses now, what it saw (`requests`) and when it wrote which stream bytes (`sent`)."""

    def __init__(self, *, strict_keys: bool = False, log: Callable[[str], None] | None = None) -> None:
        self.requests: list[Seen] = []
        self.sent: list[tuple[float, bytes]] = []
        self.rehearsal = Rehearsal()
        self._strict_keys = strict_keys
        self._log = log or (lambda line: print(line, flush=True))
        self._started = f"rehearsal/{secrets.token_urlsafe(7)}"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=4 * BODY_LIMIT)
        app.router.add_route("*", "/{path:(?s:.*)}", self._handle)
        app.on_response_prepare.append(_go_headers)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        at = time.monotonic()
        if reason := browser_guard.rejection_reason(request.headers.items()):
            return web.Response(status=403, text=f"The rehearsal TokenHub {reason}.\n")
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(request.method, request.rel_url.raw_path, headers, await request.read(), at)
        if seen.path == CONTROL_PATH:
            return await self._play(request, self._control(seen), seen)
        self.requests.append(seen)
        request_id = headers.get("x-request-id") or f"{self._started}-{len(self.requests):06}"
        try:
            return await self._play(request, self._answer(seen, request_id), seen)
        except (asyncio.CancelledError, ConnectionError):
            seen.left_at = time.monotonic()
            raise
        finally:
            ended = f"{seen.status or '-'}{' (client left)' if seen.left_at else ''}"
            self._log(f"{seen.method} {seen.path} {ended} {seen.mode} {request_id[:128]}")

    def _answer(self, seen: Seen, request_id: str) -> Answer:
        route = ROUTES.get(seen.path)
        if route is None:
            return plain_error(404, "404 page not found")
        if route.method != seen.method:
            return Answer(405, {"Allow": route.method}, ())
        payload, json_error = read_json(seen.body)
        asked = str(inner_request(seen.path, payload).get("model_hint" if seen.path in WRAPPED else "model") or "")
        mode, delay = self._next_mode(route, seen.path, asked)
        if mode not in modes.MODES:
            return route.fail(400, unknown_mode(mode))
        seen.mode = mode
        if mode not in modes.BEFORE_KEY and (refused := self._refuse(route, seen.headers)):
            return refused
        model, alias = served_model(asked, seen.path)
        sent_key = seen.headers.get("authorization") or seen.headers.get("x-api-key", "")
        return modes.answer(mode, Call(seen.path, payload, request_id, sent_key, json_error, delay, model, alias))

    def _next_mode(self, route: Route, path: str, asked: str) -> tuple[str, float | None]:
        now = self.rehearsal
        delay = None if now.delay_ms is None else now.delay_ms / 1000
        if asked.startswith(REHEARSE_PREFIX):
            return asked.removeprefix(REHEARSE_PREFIX), None
        if now.path is None and route.public:
            return (now.mode if now.mode in modes.NOTHING_REGISTERED else "normal"), None
        if now.path not in (None, path):
            return "normal", None
        if now.times is not None:
            self.rehearsal = Rehearsal() if now.times == 1 else replace(now, times=now.times - 1)
        return now.mode, delay

    def _refuse(self, route: Route, headers: dict[str, str]) -> Answer | None:
        key = credential(headers)
        if route.public:
            return None
        if not key:
            return plain_error(401, "authorization required")
        if self._strict_keys and not key.startswith("tokenhub_"):
            return plain_error(401, "invalid api key format")
        if self._strict_keys and not REAL_KEY.fullmatch(key):
            return plain_error(401, "invalid api key")
        return None

    def _control(self, seen: Seen) -> Answer:
        if seen.method not in ("GET", "PUT", "DELETE"):
            return Answer(405, {"Allow": "GET, PUT, DELETE"}, ())
        try:
            if seen.method == "PUT":
                self.rehearsal = rehearsal(read_json(seen.body)[0])
        except ValueError as error:
            return json_answer(400, {"error": str(error)})
        if seen.method == "DELETE":
            self.rehearsal = Rehearsal()
        return json_answer(200, vars(self.rehearsal) | {"modes": list(modes.MODES)})

    async def _play(self, request: web.Request, answer: Answer, seen: Seen) -> web.StreamResponse:
        await asyncio.sleep(answer.wait)
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = answer.length
        seen.status = answer.status
        await response.prepare(request)
        for piece in answer.pieces:
            await self._put(request, response, piece, record=answer.streamed)
        return response

    async def _put(self, request: web.Request, response: web.StreamResponse, piece: Piece, *, record: bool) -> None:
        match piece:
            case bytes():
                if record:
                    self.sent.append((time.monotonic(), piece))
                await response.write(piece)
            case Cut():
                _cut(request, piece)
            case _:
                await asyncio.sleep(piece)


def _cut(request: web.Request, how: Cut) -> None:
    if (transport := request.transport) is None:
        return
    if how is Cut.CLOSE:
        transport.close()
        return
    # Closing with a linger time of 0 makes the kernel send RST instead of FIN.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _go_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)  # Go names no server


@asynccontextmanager
async def serving(hub: TokenHub, host: str, port: int) -> AsyncIterator[int]:
    """Serve `hub` and give the port (0 asks for a free one); at the end every open stream is dropped at once."""
    # aiohttp waits shutdown_timeout for open requests, and reads 0 as for ever.
    runner = web.AppRunner(hub.app(), handler_cancellation=True, shutdown_timeout=0.01, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address: tuple[Any, ...] = runner.addresses[0]
        yield int(address[1])
    finally:
        await runner.cleanup()


async def run(hub: TokenHub, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(hub, host, port) as bound:
        print(f"rehearsal TokenHub ready on http://{host}:{bound}/v1", flush=True)
        await stopped.wait()


def loopback(host: str) -> str:
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(host)
    return host


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.rehearsal.server", description="The rehearsal TokenHub.")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--host", type=loopback, default="127.0.0.1", help="a loopback address")
    parser.add_argument("--key-format", choices=("any", "strict"), default="any")
    chosen = parser.parse_args()
    try:
        asyncio.run(run(TokenHub(strict_keys=chosen.key_format == "strict"), chosen.host, chosen.port))
    except OSError as error:
        sys.exit(f"rehearsal TokenHub: cannot listen on {chosen.host}:{chosen.port}: {error.strerror}")


if __name__ == "__main__":
    main()
