"""The rehearsal TokenHub: responds like the real one, unusual behaviour included, with a model that echoes.

`python -m tools.rehearsal.server --port 8090` runs it alone. Two things differ on purpose. It rejects web pages. It
accepts any non-empty key, so that examples work without a real one; `--key-format strict` checks the real format
(`tokenhub_` and 64 hex digits), and the mode `refuse_key` rejects every key.

`PUT /_rehearse {"mode": "slow", "times": 3, "delay_ms": 50, "path": "/v1/chat/completions"}` sets a mode for the next
requests (`times` null: until changed), GET shows it, DELETE ends it. Without `path` the mode applies to the POST
routes; `no_models` and `no_providers` then change GET /v1/models and /healthz too. The model name `rehearse/<mode>`
selects a mode for one request. `tools.rehearsal.modes` defines the modes.
"""

import argparse
import asyncio
import ipaddress
import json
import os
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

from tools.local import browser_guard, parent_watch
from tools.local.apigateway.connections import PrivateRunner
from tools.rehearsal import modes
from tools.rehearsal.forwarding import provider_body
from tools.rehearsal.modes import Rehearsal, parse_rehearsal, unknown_mode_message
from tools.rehearsal.request import WRAPPING_PATHS, Json, Request, unwrapped
from tools.rehearsal.response import BodyStep, Disconnect, ScriptedResponse
from tools.rehearsal.routes import (
    BODY_TOO_LARGE,
    MAX_BODY_BYTES,
    MODELS,
    REHEARSE_PREFIX,
    ROUTES,
    Route,
    json_response,
    plain_error,
    serving_model,
)

CONTROL_PATH = "/_rehearse"
REAL_KEY = re.compile(r"tokenhub_[0-9a-f]{64}")


@dataclass
class RecordedRequest:
    """A received request. Times are `time.monotonic()`; `disconnected_at` is set when the client left early.

    `forwarded` is the body that TokenHub sends to the model's provider.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    received_at: float
    mode: str = "-"
    forwarded: Json | None = None
    status: int | None = None
    disconnected_at: float | None = None


def credential(headers: dict[str, str]) -> str:
    """Returns the Bearer token, else x-api-key, like TokenHub (internal/apikey/middleware.go)."""
    authorization = headers.get("authorization", "")
    if authorization.startswith("Bearer "):
        return authorization.removeprefix("Bearer ")
    return headers.get("x-api-key", "")


def read_json(body: bytes) -> tuple[Json, str | None]:
    """Returns the JSON object, and an error message like Go's when the body is not one."""
    if len(body) > MAX_BODY_BYTES:
        return {}, BODY_TOO_LARGE
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
    """The server. Records `requests`, and in `sent` every chunk written to a stream with its monotonic time."""

    def __init__(self, *, strict_keys: bool = False, log: Callable[[str], None] | None = None) -> None:
        self.requests: list[RecordedRequest] = []
        self.sent: list[tuple[float, bytes]] = []
        self.rehearsal = Rehearsal()
        self._strict_keys = strict_keys
        self._log = log or (lambda line: print(line, flush=True))
        self._id_prefix = f"rehearsal/{secrets.token_urlsafe(7)}"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=4 * MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:(?s:.*)}", self._handle)
        app.on_response_prepare.append(_remove_server_header)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received_at = time.monotonic()
        if reason := browser_guard.rejection_reason(request.headers.items()):
            return web.Response(status=403, text=f"The rehearsal TokenHub {reason}.\n")
        headers = {name.lower(): value for name, value in request.headers.items()}
        record = RecordedRequest(request.method, request.rel_url.raw_path, headers, await request.read(), received_at)
        if record.path == CONTROL_PATH:
            return await self._send(request, self._control(record), record)
        self.requests.append(record)
        request_id = headers.get("x-request-id") or f"{self._id_prefix}-{len(self.requests):06}"
        try:
            return await self._send(request, self._respond(record, request_id), record)
        except (asyncio.CancelledError, ConnectionError):
            record.disconnected_at = time.monotonic()
            raise
        finally:
            outcome = f"{record.status or '-'}{' (client left)' if record.disconnected_at else ''}"
            self._log(f"{record.method} {record.path} {outcome} {record.mode} {request_id[:128]}")

    def _respond(self, record: RecordedRequest, request_id: str) -> ScriptedResponse:
        route = ROUTES.get(record.path)
        if route is None:
            return plain_error(404, "404 page not found")
        if route.method != record.method:
            return ScriptedResponse(405, {"Allow": route.method}, ())
        payload, json_error = read_json(record.body)
        model_field = "model_hint" if record.path in WRAPPING_PATHS else "model"
        requested_model = str(unwrapped(record.path, payload).get(model_field) or "")
        mode, delay_s = self._next_mode(route, record.path, requested_model)
        if mode not in modes.MODES:
            return route.error(400, unknown_mode_message(mode))
        record.mode = mode
        if mode not in modes.CHECKED_BEFORE_KEY and (rejection := self._check_key(route, record.headers)):
            return rejection
        model, alias = serving_model(requested_model, record.path)
        sent_credential = record.headers.get("authorization") or record.headers.get("x-api-key", "")
        request = Request(record.path, payload, request_id, sent_credential, json_error, delay_s, model, alias)
        record.forwarded = provider_body(request, MODELS.get(model))
        return modes.respond(mode, request)

    def _next_mode(self, route: Route, path: str, requested_model: str) -> tuple[str, float | None]:
        current = self.rehearsal
        delay_s = None if current.delay_ms is None else current.delay_ms / 1000
        if requested_model.startswith(REHEARSE_PREFIX):
            return requested_model.removeprefix(REHEARSE_PREFIX), None
        if current.path is None and route.public:
            return (current.mode if current.mode in modes.CHANGE_PUBLIC_ROUTES else "normal"), None
        if current.path not in (None, path):
            return "normal", None
        if current.times is not None:
            self.rehearsal = Rehearsal() if current.times == 1 else replace(current, times=current.times - 1)
        return current.mode, delay_s

    def _check_key(self, route: Route, headers: dict[str, str]) -> ScriptedResponse | None:
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

    def _control(self, record: RecordedRequest) -> ScriptedResponse:
        if record.method not in ("GET", "PUT", "DELETE"):
            return ScriptedResponse(405, {"Allow": "GET, PUT, DELETE"}, ())
        try:
            if record.method == "PUT":
                self.rehearsal = parse_rehearsal(read_json(record.body)[0])
        except ValueError as error:
            return json_response(400, {"error": str(error)})
        if record.method == "DELETE":
            self.rehearsal = Rehearsal()
        return json_response(200, vars(self.rehearsal) | {"modes": list(modes.MODES)})

    async def _send(
        self, request: web.Request, response: ScriptedResponse, record: RecordedRequest
    ) -> web.StreamResponse:
        await asyncio.sleep(response.delay_s)
        writer = web.StreamResponse(status=response.status, headers=response.headers)
        writer.content_length = response.content_length
        record.status = response.status
        await writer.prepare(request)
        for step in response.steps:
            await self._write(request, writer, step, keep=response.is_stream)
        return writer

    async def _write(self, request: web.Request, writer: web.StreamResponse, step: BodyStep, *, keep: bool) -> None:
        match step:
            case bytes():
                if keep:
                    self.sent.append((time.monotonic(), step))
                await writer.write(step)
            case Disconnect():
                _disconnect(request, step)
            case _:
                await asyncio.sleep(step)


def _disconnect(request: web.Request, kind: Disconnect) -> None:
    if (transport := request.transport) is None:
        return
    if kind is Disconnect.CLOSE:
        transport.close()
        return
    # Closing with a linger time of 0 makes the kernel send RST instead of FIN.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _remove_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    # Go sends no Server header.
    response.headers.popall("Server", None)


def _malformed_response(_request_id: str) -> web.Response:
    # As Go's HTTP server answers.
    return web.Response(status=400, text="400 Bad Request")


@asynccontextmanager
async def serving(hub: TokenHub, host: str, port: int) -> AsyncIterator[int]:
    """Serves `hub` and yields its port; port 0 selects a free one. Drops all open streams at the end."""
    # aiohttp waits shutdown_timeout for open requests, and waits for ever when it is 0.
    runner = PrivateRunner(
        hub.app(), _malformed_response, handler_cancellation=True, shutdown_timeout=0.01, access_log=None
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address: tuple[Any, ...] = runner.addresses[0]
        yield int(address[1])
    finally:
        await runner.cleanup()


async def run(hub: TokenHub, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    async with serving(hub, host, port) as bound:
        print(f"rehearsal TokenHub ready on http://{host}:{bound}/v1", flush=True)
        await stopped.wait()


def loopback_host(host: str) -> str:
    """Returns a loopback host. Raises ValueError for any other."""
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(host)
    return host


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.rehearsal.server", description="The rehearsal TokenHub.")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--host", type=loopback_host, default="127.0.0.1", help="a loopback address")
    parser.add_argument("--key-format", choices=("any", "strict"), default="any")
    options = parser.parse_args()
    # `make tokenhub` sets this variable to its own process id.
    parent_watch.end_with_starter(int(os.environ["STOP_WITH"]) if os.environ.get("STOP_WITH") else None)
    try:
        asyncio.run(run(TokenHub(strict_keys=options.key_format == "strict"), options.host, options.port))
    except OSError as error:
        sys.exit(f"The rehearsal TokenHub cannot listen on {options.host}:{options.port}: {error.strerror}")


if __name__ == "__main__":
    main()
