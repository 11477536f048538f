"""Lambda's Runtime API for one worker: sends it events and receives its responses as they are streamed.

Follows the rules of Lambda's own Runtime API (RAPID) for the order of calls and for rejected calls.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from typing import Literal

import h11

from tools.local import browser_guard
from tools.local.lambda_runtime.connection import BodyTooLargeError, RuntimeConnection, RuntimeServer
from tools.local.lambda_runtime.invocation import Invocation, State

type DisconnectPolicy = Literal["ignore", "reset"]

MAX_BUFFERED_BYTES = 6 * 1024 * 1024 + 100
_MAX_ERROR_BYTES = 1024 * 1024
# Lambda gives the initialisation of an environment ten seconds in addition to the function's timeout.
_INIT_TIMEOUT_S = 10
_ROOT = "/2018-06-01/runtime"
_RESULT = re.compile(rf"POST {_ROOT}/invocation/(?P<id>[^/]+)/(?P<kind>response|error)")
_INVALID_TRANSITION = "InvalidStateTransition"


class RuntimeApi:
    """Listens on a free loopback port. `free` is true while the worker can take another invocation.

    `on_disconnect` decides what a function notices when its client disconnects: nothing, as on Lambda ("ignore"), or a
    reset of its response's connection, so that it stops ("reset"). `on_deadline` is called when an invocation runs
    longer than `timeout_s`.
    """

    def __init__(
        self,
        function_arn: str,
        timeout_s: float,
        *,
        on_disconnect: DisconnectPolicy,
        log: Callable[[str], None],
        on_deadline: Callable[[], None],
    ) -> None:
        self.free = False
        self._function_arn = function_arn
        self._timeout_s = timeout_s
        self._reset_on_disconnect = on_disconnect == "reset"
        self._log = log
        self._on_deadline = on_deadline
        self._queue: asyncio.Queue[Invocation] = asyncio.Queue()
        self._current: Invocation | None = None
        # A failure before the first invocation; the first invocation reports it.
        self._init_failure: str | None = None
        self._truncated = False
        self._timer: asyncio.TimerHandle | None = None
        self._server = RuntimeServer(self._handle)

    @property
    def address(self) -> str:
        """The value for AWS_LAMBDA_RUNTIME_API, host:port."""
        return self._server.address

    async def start(self) -> None:
        """Starts to listen."""
        await self._server.start()

    def submit(self, invocation: Invocation) -> None:
        """Queues an invocation for the worker's next request."""
        self.free = False
        self._current = invocation
        self._queue.put_nowait(invocation)
        self._start_timer(self._timeout_s + _INIT_TIMEOUT_S)
        if self._init_failure is not None:
            self.fail(self._init_failure)

    def fail(self, reason: str) -> None:
        """Fails the current invocation, or the first one if the worker has none yet."""
        if self._current is None:
            self._init_failure = self._init_failure or reason
        elif self._current.state is not State.DONE:
            self._end_invocation(self._current, free=False)
            self._current.fail(reason)

    async def end(self, reason: str) -> None:
        """Handles the end of the worker's process: passes on what it sent, fails its invocation and closes."""
        if self._current is not None and self._current.state in {State.RUNNING, State.RESPONDING}:
            await self._server.wait_for_connections()
        self.fail(reason)
        await self.close()

    async def close(self) -> None:
        """Stops listening and closes every connection."""
        self._stop_timer()
        await self._server.close()

    async def _handle(self, connection: RuntimeConnection, request: h11.Request) -> None:
        call = f"{request.method.decode()} {request.target.decode()}"
        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers)
        # An event contains its caller's token, so a web page must not get it.
        if reason := browser_guard.rejection_reason(headers):
            await connection.respond_error(403, "Forbidden", f"The Runtime API {reason}")
        elif call == f"GET {_ROOT}/invocation/next":
            await self._next(connection)
        elif call == f"POST {_ROOT}/init/error":
            await self._init_error(connection, request)
        elif result := _RESULT.fullmatch(call):
            await self._result(connection, request, result["id"], result["kind"])
        else:
            await connection.respond_error(404, "InvalidPath", "The Runtime API has no such path")

    async def _next(self, connection: RuntimeConnection) -> None:
        await connection.body(_MAX_ERROR_BYTES)
        current = self._current
        if self._truncated or (current is not None and current.state in {State.RUNNING, State.RESPONDING}):
            await connection.respond_error(403, _INVALID_TRANSITION, "The previous invocation has no response yet")
            return
        if self._queue.empty():
            self._stop_timer()
            # Before its first invocation the worker is reserved for the request that started it.
            self.free = self._current is not None
        invocation = await self._queue.get()
        invocation.state = State.RUNNING
        self._start_timer(self._timeout_s)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._timeout_s) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._function_arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{invocation.attempt[-12:]:0>24};Sampled=0",
            "Lambda-Runtime-Invocation-Id": invocation.attempt,
        }
        await connection.respond(200, invocation.event, headers)

    async def _init_error(self, connection: RuntimeConnection, request: h11.Request) -> None:
        await connection.body(_MAX_ERROR_BYTES)
        self.fail(f"initialisation failed: {_header(request.headers, 'lambda-runtime-function-error-type')}")
        await _respond_accepted(connection)

    async def _result(self, connection: RuntimeConnection, request: h11.Request, id_: str, kind: str) -> None:
        invocation = self._current
        attempt = _header(request.headers, "lambda-runtime-invocation-id")
        if invocation is None or invocation.id != id_ or attempt not in {None, invocation.attempt}:
            await connection.respond_error(400, "InvalidRequestID", "This invocation is not the current one")
        elif kind == "error" and invocation.state in {State.RUNNING, State.RESPONDING}:
            await self._error(connection, request, invocation)
        elif kind == "response" and invocation.state is State.RUNNING:
            await self._response(connection, request, invocation)
        else:
            state = invocation.state.name.lower()
            await connection.respond_error(403, _INVALID_TRANSITION, f"The invocation is {state}")

    async def _error(self, connection: RuntimeConnection, request: h11.Request, invocation: Invocation) -> None:
        await connection.body(_MAX_ERROR_BYTES)
        error_type = _header(request.headers, "lambda-runtime-function-error-type")
        self._end_invocation(invocation, free=True)
        invocation.fail(f"the function raised {error_type or 'an error'}")
        await _respond_accepted(connection)

    async def _response(self, connection: RuntimeConnection, request: h11.Request, invocation: Invocation) -> None:
        mode = _header(request.headers, "lambda-runtime-function-response-mode")
        if mode not in {None, "streaming"}:
            self._end_invocation(invocation, free=True)
            invocation.fail("Lambda-Runtime-Function-Response-Mode must be `streaming`")
            await connection.respond_error(400, "InvalidFunctionResponseMode", "The mode must be `streaming`")
            return
        invocation.state = State.RESPONDING
        receive = self._receive_streamed if mode else self._receive_buffered
        try:
            await receive(connection, invocation)
        except (h11.RemoteProtocolError, ConnectionError):
            self._connection_lost(invocation)
            raise

    async def _receive_buffered(self, connection: RuntimeConnection, invocation: Invocation) -> None:
        try:
            body = await connection.body(MAX_BUFFERED_BYTES)
        except BodyTooLargeError:
            # awslambdaric exits after this error. A runtime that continues becomes free with its next request.
            self._end_invocation(invocation, free=False)
            invocation.fail("Function.ResponseSizeTooLarge")
            await connection.respond_error(413, "RequestEntityTooLarge", "The response is larger than 6 MB")
            return
        await invocation.feed(body)
        await self._complete(connection, invocation)

    async def _receive_streamed(self, connection: RuntimeConnection, invocation: Invocation) -> None:
        if self._reset_on_disconnect:
            invocation.on_abandon = connection.abort
            if invocation.abandoned:
                connection.abort()
        while isinstance(event := await connection.read(), h11.Data):
            await invocation.feed(bytes(event.data))
            # The runtime may post an error on another connection during the stream.
            if invocation.state is State.DONE:
                await connection.respond_error(403, _INVALID_TRANSITION, "The invocation has ended")
                return
        if error_type := _header(event.headers, "lambda-runtime-function-error-type"):
            invocation.fail(f"the function raised {error_type} during the stream")
        await self._complete(connection, invocation)

    async def _complete(self, connection: RuntimeConnection, invocation: Invocation) -> None:
        self._end_invocation(invocation, free=True)
        invocation.finish()
        await _respond_accepted(connection)

    def _connection_lost(self, invocation: Invocation) -> None:
        """Ends an invocation whose response was cut off, either by this server's reset or by the function."""
        if invocation.abandoned and self._reset_on_disconnect:
            # The deadline stays until the worker asks for its next invocation.
            invocation.state = State.DONE
        else:
            # Lambda rejects the worker's next request, and the worker exits.
            self._truncated = True
            self._end_invocation(invocation, free=False)
            invocation.fail("Runtime.TruncatedResponse")

    def _end_invocation(self, invocation: Invocation, *, free: bool) -> None:
        invocation.state = State.DONE
        self.free = free
        self._stop_timer()

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        if self._current is not None:
            self._log(f"{self._current.id} Task timed out after {self._timeout_s:.2f} seconds")
        self.fail("the function timed out")
        self._on_deadline()


async def _respond_accepted(connection: RuntimeConnection) -> None:
    await connection.respond(202, b'{"status":"OK"}\n')


def _header(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """Returns a header's value. `name` is in lower case, as h11 gives header names."""
    return next((value.decode("latin-1") for key, value in headers if key == name.encode()), None)
