"""The HTTP/1.1 server that a function's runtime client connects to. It reads request trailers too."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import h11

_READ_SIZE = 64 * 1024


class BodyTooLargeError(Exception):
    """A request body exceeds the limit."""


class RuntimeConnection:
    """The server's end of one connection. Uses h11, because aiohttp drops request trailers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def next_request(self) -> h11.Request | None:
        """Returns the next request, or None if the connection is closed or cannot be reused."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        event = await self._next_event()
        return event if isinstance(event, h11.Request) else None

    async def read(self) -> h11.Data | h11.EndOfMessage:
        """Returns the next part of the body, or its end with the trailers.

        Raises h11.RemoteProtocolError if the body is incomplete.
        """
        event = await self._next_event()
        if isinstance(event, h11.Data | h11.EndOfMessage):
            return event
        raise h11.RemoteProtocolError("the request ended before its body was complete")

    async def body(self, limit: int) -> bytes:
        """Returns the complete body. Raises BodyTooLargeError if it exceeds `limit` bytes."""
        data = bytearray()
        while isinstance(event := await self.read(), h11.Data):
            data += event.data
            if len(data) > limit:
                raise BodyTooLargeError
        return bytes(data)

    async def respond(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Sends a complete JSON response."""
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        response = h11.Response(status_code=status, headers=list(fields.items()))
        events = (response, h11.Data(data=body), h11.EndOfMessage())
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()

    async def respond_error(self, status: int, error_type: str, message: str) -> None:
        """Sends an error response in the Runtime API's format."""
        await self.respond(status, json.dumps({"errorType": error_type, "errorMessage": message}).encode())

    def abort(self) -> None:
        """Resets the connection, so that the client's next write fails."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Closes the connection after everything has been sent."""
        self._writer.close()

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if not isinstance(event, type) or event is h11.PAUSED:
                return event
            self._http.receive_data(await self._reader.read(_READ_SIZE))


class RuntimeServer:
    """Listens on a free loopback port and calls `handle` for every request."""

    def __init__(self, handle: Callable[[RuntimeConnection, h11.Request], Awaitable[None]]) -> None:
        self.address = ""
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Starts to listen and sets `address` (host:port), the value for AWS_LAMBDA_RUNTIME_API."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    async def wait_for_connections(self) -> None:
        """Waits until every connection has been read to its end."""
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def close(self) -> None:
        """Stops listening and closes every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await self.wait_for_connections()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(RuntimeConnection(reader, writer)))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: RuntimeConnection) -> None:
        try:
            while (request := await connection.next_request()) is not None:
                await self._handle(connection, request)
        except (h11.RemoteProtocolError, ConnectionError):
            # The worker watches its own process, so a lost connection needs no report here.
            pass
        finally:
            connection.close()
