"""The HTTP/1.1 server that a function's runtime client talks to, read event by event, request trailers included."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import h11

_READ_SIZE = 64 * 1024


class BodyTooLargeError(Exception):
    """A request body passed the limit that its reader had set."""


class RuntimeConnection:
    """The server's end of a connection. h11, because aiohttp drops request trailers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def request(self) -> h11.Request | None:
        """The next request; None when the client has closed the connection, or it cannot be used again."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        event = await self._event()
        return event if isinstance(event, h11.Request) else None

    async def read(self) -> h11.Data | h11.EndOfMessage:
        """The next piece of the body, or its end with the trailers. Raises h11.RemoteProtocolError when it is cut."""
        event = await self._event()
        if isinstance(event, h11.Data | h11.EndOfMessage):
            return event
        raise h11.RemoteProtocolError("the request ended before its body")

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises BodyTooLargeError."""
        collected = bytearray()
        while isinstance(event := await self.read(), h11.Data):
            collected += event.data
            if len(collected) > limit:
                raise BodyTooLargeError
        return bytes(collected)

    async def respond(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Sends a whole JSON response."""
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        response = h11.Response(status_code=status, headers=list(fields.items()))
        events = (response, h11.Data(data=body), h11.EndOfMessage())
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()

    async def refuse(self, status: int, error_type: str, message: str) -> None:
        """Sends an error as Lambda's Runtime API words it."""
        await self.respond(status, json.dumps({"errorType": error_type, "errorMessage": message}).encode())

    def abort(self) -> None:
        """Resets the connection, so that the client's next send fails."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Closes the connection when all is sent."""
        self._writer.close()

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if not isinstance(event, type) or event is h11.PAUSED:
                return event
            self._http.receive_data(await self._reader.read(_READ_SIZE))


class RuntimeServer:
    """Listens on a loopback port of its own; `answer` is called for every request."""

    def __init__(self, answer: Callable[[RuntimeConnection, h11.Request], Awaitable[None]]) -> None:
        self.address = ""
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listens; `address` is then what AWS_LAMBDA_RUNTIME_API must say."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    async def finished(self) -> None:
        """Waits until every connection has been read to its end."""
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def close(self) -> None:
        """Stops listening and drops every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await self.finished()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(RuntimeConnection(reader, writer)))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: RuntimeConnection) -> None:
        try:
            while (request := await connection.request()) is not None:
                await self._answer(connection, request)
        except (h11.RemoteProtocolError, ConnectionError):
            pass  # the worker is gone, which its process tells, or it does not speak HTTP
        finally:
            connection.close()
