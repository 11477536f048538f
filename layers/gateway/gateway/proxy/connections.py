"""Keeps the connections to providers open for further requests.

It replaces httpcore's pool, which examines all connections twice for each request and counts the idle ones once for
each connection. With the 64 connections of a tick that takes a tenth of its CPU time.
"""

import ssl
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Protocol, cast

import httpcore


class _Stream(Protocol):
    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Connections:
    """HTTP/1.1 connections, kept idle for up to `keepalive_expiry` seconds. Thread-safe. Has no limit for busy ones."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        network: httpcore.NetworkBackend,
        *,
        retries: int,
        keepalive_expiry: float,
        max_idle: int,
    ) -> None:
        self._tls = tls
        self._network = network
        self._retries = retries
        self._keepalive_expiry = keepalive_expiry
        self._max_idle = max_idle
        self._lock = Lock()
        self._open: set[httpcore.HTTPConnection] = set()
        # The connection that was used last comes last.
        self._idle: list[tuple[httpcore.Origin, httpcore.HTTPConnection]] = []

    @property
    def connections(self) -> list[httpcore.HTTPConnection]:
        """All open connections, busy and idle ones."""
        with self._lock:
            return list(self._open)

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Sends a request and returns the response before its body is read. Raises httpcore's errors."""
        origin = request.url.origin
        connection = self._take_idle(origin) or self._new(origin)
        try:
            response = connection.handle_request(request)
        except BaseException:
            self._discard(connection)
            raise
        body = _Body(cast("_Stream", response.stream), lambda: self._release(origin, connection))
        return httpcore.Response(
            response.status, headers=response.headers, content=body, extensions=response.extensions
        )

    def close(self) -> None:
        """Closes all connections, as httpcore's pool does."""
        with self._lock:
            connections, self._idle = list(self._open), []
            self._open.clear()
        for connection in connections:
            connection.close()

    def _take_idle(self, origin: httpcore.Origin) -> httpcore.HTTPConnection | None:
        """Returns an idle connection that the provider has not closed. Closes those that it has."""
        while connection := self._pop_idle(origin):
            if not connection.has_expired():
                return connection
            self._discard(connection)
        return None

    def _pop_idle(self, origin: httpcore.Origin) -> httpcore.HTTPConnection | None:
        with self._lock:
            for number in reversed(range(len(self._idle))):
                if self._idle[number][0] == origin:
                    return self._idle.pop(number)[1]
        return None

    def _new(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        connection = httpcore.HTTPConnection(
            origin,
            ssl_context=self._tls,
            keepalive_expiry=self._keepalive_expiry,
            retries=self._retries,
            network_backend=self._network,
        )
        with self._lock:
            self._open.add(connection)
        return connection

    def _release(self, origin: httpcore.Origin, connection: httpcore.HTTPConnection) -> None:
        """Keeps a connection whose response was read to its end, and closes any other one."""
        surplus = connection
        with self._lock:
            if connection in self._open and connection.is_idle():
                self._idle.append((origin, connection))
                if len(self._idle) <= self._max_idle:
                    return
                surplus = self._idle.pop(0)[1]
        self._discard(surplus)

    def _discard(self, connection: httpcore.HTTPConnection) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()


class _Body:
    """The body of a response. Calls `release` once, when it is closed or fails."""

    def __init__(self, stream: _Stream, release: Callable[[], None]) -> None:
        self._stream = stream
        self._release = release
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                self._stream.close()
            finally:
                self._release()
