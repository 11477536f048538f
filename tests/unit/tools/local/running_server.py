"""Runs the local API server on a real port in a thread, with real workers and a fake API Gateway."""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tools.local.apigateway.authorizer import InvocationResult, TokenAuthorizer
from tools.local.apigateway.call_queue import CallQueues
from tools.local.apigateway.server import ApiServer
from tools.local.deployment import Authorizer, Deployment, Function, GatewayResponse, Route
from tools.local.lambda_runtime.worker_pool import WorkerPool

RUNTIME_PYTHON = Path(__file__).parents[4] / ".local/emulator/bin/python"
RUNTIME = (str(RUNTIME_PYTHON), "-m", "awslambdaric")
needs_runtime = pytest.mark.skipif(
    not RUNTIME_PYTHON.exists(), reason="needs the emulator environment (`make dev` builds it)"
)

AUTHORIZER = Authorizer("arn:aws:lambda:eu-west-1:123456789012:function:authorizer:live", 300)
API_KEY_AUTHORIZER = replace(AUTHORIZER, header="x-api-key", type="REQUEST")
ERROR_MESSAGE = "The gateway could not answer."
RESPONSES = {
    "DEFAULT_5XX": GatewayResponse(f'{{"error": {{"message": "{ERROR_MESSAGE}", "code": "gateway_error"}}}}'),
    "DEFAULT_4XX": GatewayResponse('{"error": {"message": $context.error.messageString, "code": "bad_request"}}'),
    "UNAUTHORIZED": GatewayResponse('{"error": {"code": "unauthorized"}}'),
    "ACCESS_DENIED": GatewayResponse('{"error": {"code": "forbidden"}}', status=403),
    "AUTHORIZER_FAILURE": GatewayResponse('{"error": {"code": "authorizer_failed"}}'),
    "MISSING_AUTHENTICATION_TOKEN": GatewayResponse('{"error": {"code": "not_found"}}', status=404),
    "REQUEST_TOO_LARGE": GatewayResponse('{"error": {"code": "request_too_large"}}', status=413),
}


def make_function(folder: Path, **changes: Any) -> Function:
    """Returns the function of streaming_app.py with its code in `folder`."""
    code = folder / "code"
    code.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("lambda_runtime") / "streaming_app.py", code / "app.py")
    fields: dict[str, Any] = {
        "logical_id": "CompletionsFunction",
        "name": "local-completions",
        "arn": "arn:aws:lambda:eu-west-1:123456789012:function:local-completions:live",
        "handler": "app.handler",
        "role_arn": "arn:aws:iam::123456789012:role/completions",
        "timeout_s": 20,
        "memory_mb": 512,
        "environment": {"LOG_LEVEL": "INFO"},
        "code": code,
        "layers": (),
        "log_group": "/completions",
    }
    return Function(**(fields | changes))


def make_deployment(function: Function | None) -> Deployment:
    return Deployment(
        api_id="abc123",
        stage="prod",
        region="eu-west-1",
        account_id="123456789012",
        routes=(
            Route("GET", "/health"),
            Route("POST", "/api/v1/providers", authorizer=AUTHORIZER),
            Route("GET", "/api/v1/providers/{id}", authorizer=AUTHORIZER),
            Route("POST", "/api/v1/providers/{id}/heartbeat", authorizer=AUTHORIZER),
            Route("POST", "/v1/chat/completions", function, AUTHORIZER),
            Route("POST", "/anthropic/v1/messages", function, API_KEY_AUTHORIZER),
        ),
        gateway_responses=RESPONSES,
        outputs={},
    )


@dataclass
class FakeApiGateway:
    """The local AWS as buffered routes use it: records requests and returns the configured response."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    body: bytes = b"{}"
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    # Responses wait until it is set.
    hold: threading.Event | None = None
    running: int = 0
    max_running: int = 0

    def reset(self) -> None:
        default = FakeApiGateway()
        self.status, self.headers, self.body, self.requests = (
            default.status,
            default.headers,
            default.body,
            default.requests,
        )

    def app(self) -> web.Application:
        app = web.Application(client_max_size=20 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._respond)
        return app

    async def _respond(self, request: web.Request) -> web.Response:
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        self.requests.append((request.raw_path, dict(request.headers), await request.read()))
        hold = self.hold
        while hold is not None and not hold.is_set():  # noqa: ASYNC110 (another thread sets it)
            await asyncio.sleep(0.01)
        self.running -= 1
        return web.Response(status=self.status, headers=self.headers, body=self.body)


@dataclass
class FakeAuthorizerFunction:
    """Allows `admin` everything and `client` only /v1. Rejects all other tokens."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, function_arn: str, payload: bytes) -> InvocationResult:
        event = json.loads(payload)
        self.calls.append({"function": function_arn, **event})
        is_request = event["type"] == "REQUEST"
        token = event["headers"]["x-api-key"] if is_request else event["authorizationToken"].removeprefix("Bearer ")
        if token == "broken":
            return InvocationResult(b'{"errorMessage": "a secret"}', failed=True)
        if token not in {"admin", "client"}:
            return InvocationResult(b'{"errorMessage": "Unauthorized"}', failed=True)
        api = event["methodArn"].split("/")[0] + "/prod"
        resource = f"{api}/*" if token == "admin" else [f"{api}/GET/v1/*", f"{api}/POST/v1/*"]
        statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource}
        policy = {"policyDocument": {"Statement": [statement]}, "principalId": token, "context": {"admin": False}}
        return InvocationResult(json.dumps(policy).encode(), failed=False)


@dataclass
class RunningServer:
    """A running API server."""

    url: str
    api_gateway: FakeApiGateway
    authorizer: FakeAuthorizerFunction
    log: list[str]

    def has_logged(self, text: str, timeout_s: float = 30) -> bool:
        """Waits until a log line contains `text`. Returns False after the timeout."""
        deadline = time.monotonic() + timeout_s
        while not any(text in line for line in self.log):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


@contextmanager
def serving(
    function: Function | None = None,
    *,
    deployment: Deployment | None = None,
    admin_token: str | None = None,
    aws_url: str | None = None,
    save_failure: str | None = None,
    slots: int | None = None,
    **options: Any,
) -> Iterator[RunningServer]:
    """Runs an API server for the duration of the block, by default with the routes of make_deployment().

    `options` go to WorkerPool.
    """
    running = RunningServer("", FakeApiGateway(), FakeAuthorizerFunction(), [])
    with _loop() as loop:
        workers = WorkerPool(
            RUNTIME_PYTHON,
            lambda _: {"AWS_SESSION_TOKEN": "of-the-role"},
            lambda _, line: running.log.append(line),
            **({"command": RUNTIME} | options),
        )
        aws = web.AppRunner(running.api_gateway.app(), shutdown_timeout=0.1, auto_decompress=False)
        fake_url = loop.run(_listen(aws))
        server = ApiServer(
            deployment or make_deployment(function),
            aws_url=aws_url or fake_url,
            workers=workers,
            authorizer=TokenAuthorizer(running.authorizer),
            admin_token=(lambda: admin_token) if admin_token else None,
            save_failure=lambda: save_failure,
            queues=CallQueues(slots),
        )
        runner = server.runner()
        running.url = loop.run(_listen(runner))
        try:
            yield running
        finally:
            for cleanup in (workers.close(), runner.cleanup(), aws.cleanup()):
                loop.run(cleanup)


async def _listen(runner: web.AppRunner) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self) -> None:
        self._thread.start()

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def stop(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def _loop() -> Iterator[_Loop]:
    loop = _Loop()
    loop.start()
    try:
        yield loop
    finally:
        loop.stop()
