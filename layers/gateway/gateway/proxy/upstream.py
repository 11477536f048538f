"""Forwarding to a provider: the only httpx code. Its errors become ours here and nowhere else; how a connection is
made, and what is said where none is, stands in connecting.py."""

import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

import httpcore
import httpx

from gateway.core.errors import (
    AnswerTruncated,
    DeadlineExceeded,
    EndpointRefused,
    FirstByteTimeout,
    ForwardingError,
    InvalidEndpoint,
    ProviderDisconnected,
    ProviderUnreachable,
    RedirectRefused,
    StreamIdleTimeout,
    StreamTruncated,
)
from gateway.core.redaction import redact, without
from gateway.core.settings import Limits
from gateway.proxy.connect import Connector, unreachable
from gateway.proxy.request import ForwardRequest
from gateway.registry.endpoint import is_loopback

Guard = Callable[[str], None]

IDLE_SECONDS = 45.0
CONNECTS = 2  # a connection that fails at once is tried again
SENT_DOWN = (
    "content-type",
    "cache-control",
    "retry-after",
    "x-negotiated-model",
    "x-alias-from",
    "idempotency-replay",
    "x-should-retry",
)
MODELS = {"x-negotiated-model", "x-alias-from"}


@dataclass(frozen=True)
class Target:
    """Where a request goes: a provider's endpoint and its key."""

    provider_id: str
    endpoint: str
    model: str | None = None
    status: str = "pending"
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class UpstreamResponse:
    """A provider's answer whose body is still to come. `abort` wakes, from any thread, whoever waits for it."""

    status: int
    headers: Mapping[str, str]
    chunks: Generator[bytes]
    waited_ms: float
    abort: Callable[[], None]

    @property
    def is_stream(self) -> bool:
        """Whether the body is server-sent events."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"


class Upstream:
    """Sends requests to providers over kept connections. One per execution environment.

    httpx's transport without its client: a client follows redirects and keeps the cookies of one caller for the next.
    `guard` raises InvalidEndpoint for an address that must not be called. `loopback_host` is called where an endpoint
    says loopback, with everything but the address as it was (see Settings).
    """

    def __init__(
        self,
        limits: Limits,
        guard: Guard,
        *,
        loopback_host: str | None = None,
        transport: Callable[[], httpx.BaseTransport] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits
        self._guard = guard
        self._loopback_host = loopback_host
        self._new_transport = transport or partial(_transport, guard)
        self._wall_clock = wall_clock
        self._lock = Lock()
        self._transport: httpx.BaseTransport | None = None
        self._used_at = 0.0

    def forward(self, request: ForwardRequest, target: Target, *, within: float) -> UpstreamResponse:
        """Sends the request and waits for the head of its answer, about `within` seconds at most.

        A connection that fails within its time is tried twice; a request that was sent is not sent again.
        Raises a ForwardingError; an answer of any status but a redirect is returned.
        """
        if within <= 0:
            raise DeadlineExceeded("No time was left for the provider to answer. Try again.")
        began = time.monotonic()
        patience = _Patience(self._limits, stream=request.stream, within=within)
        late = FirstByteTimeout(_late(target.endpoint, "not begun to answer", patience.first_byte))
        with _translated(target.endpoint, late):
            built = _build(request, target, patience, self._guard)
            if self._loopback_host is not None and is_loopback(built.url.host):
                _redirect(built, self._loopback_host)
            response = self._fresh_transport().handle_request(built)
        if response.is_redirect:
            response.close()
            raise RedirectRefused(
                f"{target.endpoint} redirects (HTTP {response.status_code}), and no key follows. "
                "Register the final address."
            )
        return _answer(response, request, target, patience, (time.monotonic() - began) * 1000)

    def close(self) -> None:
        """Closes the kept connections."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _fresh_transport(self) -> httpx.BaseTransport:
        """A transport whose connections are not stale: httpx counts idle time by a clock that stops while Lambda
        freezes the environment, so the wall clock is asked too. Beats ask from many threads at once."""
        with self._lock:
            now = self._wall_clock()
            if now - self._used_at > IDLE_SECONDS:
                self.close()
            self._used_at = now
            if self._transport is None:
                self._transport = self._new_transport()
            return self._transport


class _Patience:
    """The timeouts of one request in seconds. httpcore looks them up for the connection, then for the head, then for
    the body, and tells before each: a stream may be slow to start but not to go on."""

    def __init__(self, limits: Limits, *, stream: bool, within: float) -> None:
        self._until = time.monotonic() + within
        self.first_byte = min(limits.first_byte if stream else limits.whole, within)
        self.silence = min(limits.stream_idle if stream else limits.whole, within)
        connect = min(limits.connect, within / CONNECTS)
        self._connect_until = time.monotonic() + connect
        self.timeout = {"connect": connect, "pool": connect, "write": self.first_byte, "read": self.first_byte}

    def on_event(self, name: str) -> None:
        if name == "connection.retry.started" and time.monotonic() >= self._connect_until:
            raise httpcore.ConnectTimeout  # the first try took all of the time, and so would the next
        if name == "http11.receive_response_headers.started":
            self.timeout["read"] = self._left(self.first_byte)
        elif name == "http11.receive_response_body.started":
            self.timeout["read"] = self._left(self.silence)

    def _left(self, most: float) -> float:
        return max(0.001, min(most, self._until - time.monotonic()))


def _build(request: ForwardRequest, target: Target, patience: _Patience, guard: Guard) -> httpx.Request:
    def on_event(name: str, info: Mapping[str, Any]) -> None:
        patience.on_event(name)
        if name == "connection.connect_tcp.complete":
            _check_peer(info["return_value"], guard)

    query = f"?{request.query}" if request.query else ""
    return httpx.Request(
        request.method,
        target.endpoint + request.path + query,
        headers=_headers_up(request, target),
        content=request.body,
        extensions={"timeout": patience.timeout, "trace": on_event},
    )


def _redirect(request: httpx.Request, host: str) -> None:
    """Another address, but the same `Host` header and the same name to prove by TLS."""
    request.extensions["sni_hostname"] = request.url.host
    request.url = request.url.copy_with(host=host)


def _check_peer(stream: httpcore.NetworkStream, guard: Guard) -> None:
    """Refuses the address that a connection came to, before a byte is sent, whoever made it: see Connector."""
    address = stream.get_extra_info("server_addr")[0]
    try:
        guard(address)
    except InvalidEndpoint:
        stream.close()
        raise


def _answer(
    response: httpx.Response, request: ForwardRequest, target: Target, patience: _Patience, waited_ms: float
) -> UpstreamResponse:
    secrets = [target.key] if target.key else []  # a provider may repeat what it was sent, in any header
    headers = {name: _clean(name, response.headers[name], secrets) for name in SENT_DOWN if name in response.headers}
    broken = StreamTruncated() if request.stream else AnswerTruncated()
    idle = StreamIdleTimeout(_late(target.endpoint, "gone silent", patience.silence))
    whole = DeadlineExceeded(_late(target.endpoint, "not ended its answer", patience.silence))
    chunks = _chunks(response, target.endpoint, idle if request.stream else whole, broken)
    next(chunks)  # into its `finally`: closing a generator that never began would not close the response
    return UpstreamResponse(response.status_code, headers, chunks, waited_ms, partial(_hang_up, response))


def _clean(name: str, value: str, secrets: list[str]) -> str:
    """A header without the key, and without what has the shape of one: but a model may be called tokenhub_something."""
    return without(value, secrets) if name in MODELS else redact(value, secrets)


def _transport(guard: Guard) -> httpx.BaseTransport:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=IDLE_SECONDS)
    transport = httpx.HTTPTransport(retries=CONNECTS - 1, limits=limits, trust_env=False)
    transport._pool._network_backend = Connector(guard)  # noqa: SLF001 - httpx hands none on to httpcore
    return transport


def _headers_up(request: ForwardRequest, target: Target) -> dict[str, str]:
    ours = {"accept-encoding": "identity", "x-request-id": request.request_id}
    if target.key is not None:
        ours["authorization"] = f"Bearer {target.key}"
    if request.source_ip is not None:
        ours["x-real-ip"] = request.source_ip  # else all callers share one rate limit in TokenHub
    return dict(request.headers) | ours


def _chunks(
    response: httpx.Response, endpoint: str, idle: ForwardingError, broken: ForwardingError
) -> Generator[bytes]:
    """The body as it comes. Without a size: httpx would wait until it had as many bytes."""
    try:
        yield b""  # taken by _answer()
        with _translated(endpoint, idle, broken):
            yield from response.iter_raw()
    finally:
        response.close()


def _hang_up(response: httpx.Response) -> None:
    """Ends the connection under a reader: closing a socket does not wake the thread that reads from it, shutting
    it down does."""
    stream = response.extensions.get("network_stream")
    connection = None if stream is None else stream.get_extra_info("socket")
    if connection is not None and not response.is_closed:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def _translated(endpoint: str, late: ForwardingError, broken: ForwardingError | None = None) -> Iterator[None]:
    try:
        yield
    except InvalidEndpoint:
        raise EndpointRefused(
            f"{endpoint} leads to an address that the gateway does not call. Check its DNS."
        ) from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ProviderUnreachable(unreachable(endpoint, error)) from None
    except httpx.TimeoutException:
        raise late from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        raise ProviderUnreachable(f"{endpoint} is no address that can be called. Register the right one.") from None
    except httpx.TransportError:
        raise broken or ProviderDisconnected(
            f"{endpoint} closed the connection without an answer, or gave one that is no HTTP. "
            "Try again; if it stays so, check the port, and look at TokenHub's log."
        ) from None


def _late(endpoint: str, what: str, seconds: float) -> str:
    return f"{endpoint} had {what} after {seconds:g} s. Try again, or ask for a faster model."
