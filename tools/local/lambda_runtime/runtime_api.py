"""Lambda's Runtime API for one worker: hands it events and takes its answers as they are made.

The rules are those of Lambda's own (RAPID) where a runtime can meet them: what may follow what, and what is refused.
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

type ClientGone = Literal["ignore", "reset"]

BUFFERED_LIMIT = 6 * 1024 * 1024 + 100
_ERROR_LIMIT = 1024 * 1024
_INIT_S = 10  # Lambda gives the initialisation of an environment this long, on top of the function's timeout
_ROOT = "/2018-06-01/runtime"
_RESULT = re.compile(rf"POST {_ROOT}/invocation/(?P<id>[^/]+)/(?P<kind>response|error)")
_TRANSITION = "InvalidStateTransition"


class RuntimeApi:
    """One listener on a loopback port of its own. `free` says that the worker can take another invocation.

    `client_gone`: Lambda never tells a function that its client has left ("ignore"); "reset" closes the function's
    POST, so that it stops. `on_deadline` is called when an invocation outlasts `timeout_s`.
    """

    def __init__(
        self,
        function_arn: str,
        timeout_s: float,
        *,
        client_gone: ClientGone,
        log: Callable[[str], None],
        on_deadline: Callable[[], None],
    ) -> None:
        self.free = False
        self._function_arn = function_arn
        self._timeout_s = timeout_s
        self._reset = client_gone == "reset"
        self._log = log
        self._on_deadline = on_deadline
        self._queue: asyncio.Queue[Invocation] = asyncio.Queue()
        self._current: Invocation | None = None
        self._stillborn: str | None = None  # why it failed before there was an invocation to tell
        self._broken = False
        self._timer: asyncio.TimerHandle | None = None
        self._server = RuntimeServer(self._answer)

    @property
    def address(self) -> str:
        """What AWS_LAMBDA_RUNTIME_API must say."""
        return self._server.address

    async def start(self) -> None:
        """Listens."""
        await self._server.start()

    def submit(self, invocation: Invocation) -> None:
        """Queues an invocation; the worker takes it when it asks for the next one."""
        self.free = False
        self._current = invocation
        self._queue.put_nowait(invocation)
        self._arm(self._timeout_s + _INIT_S)
        if self._stillborn is not None:
            self.fail(self._stillborn)

    def fail(self, reason: str) -> None:
        """Ends the invocation that the worker is at, or that it is started for."""
        if self._current is None:
            self._stillborn = self._stillborn or reason
        elif self._current.state is not State.DONE:
            self._settle(self._current, free=False)
            self._current.fail(reason)

    async def end(self, reason: str) -> None:
        """The worker's process is gone; what it had sent is still handed on."""
        if self._current is not None and self._current.state in {State.RUNNING, State.RESPONDING}:
            await self._server.finished()
        self.fail(reason)
        await self.close()

    async def close(self) -> None:
        """Stops listening and drops every connection."""
        self._disarm()
        await self._server.close()

    async def _answer(self, connection: RuntimeConnection, request: h11.Request) -> None:
        call = f"{request.method.decode()} {request.target.decode()}"
        given = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers)
        if reason := browser_guard.refusal(given):  # an event holds its caller's token
            await connection.refuse(403, "Forbidden", f"The Runtime API {reason}")
        elif call == f"GET {_ROOT}/invocation/next":
            await self._next(connection)
        elif call == f"POST {_ROOT}/init/error":
            await self._init_error(connection, request)
        elif found := _RESULT.fullmatch(call):
            await self._result(connection, request, found["id"], found["kind"])
        else:
            await connection.refuse(404, "InvalidPath", "No such path of the Runtime API")

    async def _next(self, connection: RuntimeConnection) -> None:
        await connection.body(_ERROR_LIMIT)
        at = self._current
        if self._broken or (at is not None and at.state in {State.RUNNING, State.RESPONDING}):
            await connection.refuse(403, _TRANSITION, "The invocation before this has not been answered")
            return
        if self._queue.empty():
            self._disarm()
            self.free = self._current is not None  # the first one is for whom the worker was started
        invocation = await self._queue.get()
        invocation.state = State.RUNNING
        self._arm(self._timeout_s)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._timeout_s) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._function_arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{invocation.attempt[-12:]:0>24};Sampled=0",
            "Lambda-Runtime-Invocation-Id": invocation.attempt,
        }
        await connection.respond(200, invocation.event, headers)

    async def _init_error(self, connection: RuntimeConnection, request: h11.Request) -> None:
        await connection.body(_ERROR_LIMIT)
        self.fail(f"initialisation failed: {_header(request.headers, 'lambda-runtime-function-error-type')}")
        await _accept(connection)

    async def _result(self, connection: RuntimeConnection, request: h11.Request, id_: str, kind: str) -> None:
        invocation = self._current
        echoed = _header(request.headers, "lambda-runtime-invocation-id")
        if invocation is None or invocation.id != id_ or echoed not in {None, invocation.attempt}:
            await connection.refuse(400, "InvalidRequestID", "No such invocation")
        elif kind == "error" and invocation.state in {State.RUNNING, State.RESPONDING}:
            await self._error(connection, request, invocation)
        elif kind == "response" and invocation.state is State.RUNNING:
            await self._response(connection, request, invocation)
        else:
            await connection.refuse(403, _TRANSITION, f"The invocation is {invocation.state.name.lower()}")

    async def _error(self, connection: RuntimeConnection, request: h11.Request, invocation: Invocation) -> None:
        await connection.body(_ERROR_LIMIT)
        error_type = _header(request.headers, "lambda-runtime-function-error-type")
        self._settle(invocation, free=True)
        invocation.fail(f"the function raised {error_type or 'an error'}")
        await _accept(connection)

    async def _response(self, connection: RuntimeConnection, request: h11.Request, invocation: Invocation) -> None:
        mode = _header(request.headers, "lambda-runtime-function-response-mode")
        if mode not in {None, "streaming"}:
            self._settle(invocation, free=True)
            invocation.fail("Lambda-Runtime-Function-Response-Mode must be `streaming`")
            await connection.refuse(400, "InvalidFunctionResponseMode", "The mode must be `streaming`")
            return
        invocation.state = State.RESPONDING
        receive = self._streamed if mode else self._buffered
        try:
            await receive(connection, invocation)
        except (h11.RemoteProtocolError, ConnectionError):
            self._cut(invocation)
            raise

    async def _buffered(self, connection: RuntimeConnection, invocation: Invocation) -> None:
        try:
            answer = await connection.body(BUFFERED_LIMIT)
        except BodyTooLargeError:
            self._settle(invocation, free=False)  # awslambdaric ends itself at this refusal; another may go on
            invocation.fail("Function.ResponseSizeTooLarge")
            await connection.refuse(413, "RequestEntityTooLarge", "The answer is larger than 6 MB")
            return
        await invocation.feed(answer)
        await self._whole(connection, invocation)

    async def _streamed(self, connection: RuntimeConnection, invocation: Invocation) -> None:
        if self._reset:
            invocation.on_abandon = connection.abort
            if invocation.abandoned:
                connection.abort()
        while isinstance(event := await connection.read(), h11.Data):
            await invocation.feed(bytes(event.data))
            if invocation.state is State.DONE:  # an /error overtook the stream
                await connection.refuse(403, _TRANSITION, "The invocation has ended")
                return
        if error_type := _header(event.headers, "lambda-runtime-function-error-type"):
            invocation.fail(f"the function raised {error_type} in mid-stream")
        await self._whole(connection, invocation)

    async def _whole(self, connection: RuntimeConnection, invocation: Invocation) -> None:
        self._settle(invocation, free=True)
        invocation.finish()
        await _accept(connection)

    def _cut(self, invocation: Invocation) -> None:
        """The connection ended before the stream did: the function's doing, unless we reset it."""
        if invocation.abandoned and self._reset:
            invocation.state = State.DONE  # the deadline stands until the worker asks for the next one
        else:
            self._broken = True  # Lambda refuses the worker's next request, and it ends
            self._settle(invocation, free=False)
            invocation.fail("Runtime.TruncatedResponse")

    def _settle(self, invocation: Invocation, *, free: bool) -> None:
        invocation.state = State.DONE
        self.free = free
        self._disarm()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        if self._current is not None:
            self._log(f"{self._current.id} Task timed out after {self._timeout_s:.2f} seconds")
        self.fail("the function's timeout")
        self._on_deadline()


async def _accept(connection: RuntimeConnection) -> None:
    await connection.respond(202, b'{"status":"OK"}\n')


def _header(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """h11 gives header names in lower case."""
    return next((value.decode("latin-1") for key, value in headers if key == name.encode()), None)
