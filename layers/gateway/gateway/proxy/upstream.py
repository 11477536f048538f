"""Sends requests to providers.

`connect.py` opens the connections, `connections.py` keeps them, `timeouts.py` holds the timeouts, `response_body.py`
reads the bodies and `transport_errors.py` translates httpx's errors. There is no other httpx code.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, cast

import httpcore
import httpx

from gateway.core.errors import (
    AnswerTruncated,
    DeadlineExceeded,
    FirstByteTimeout,
    InvalidEndpoint,
    RedirectRefused,
    StreamIdleTimeout,
    StreamTruncated,
)
from gateway.core.tls import tls_context
from gateway.proxy.connect import Connector
from gateway.proxy.connections import Connections
from gateway.proxy.provider_headers import forwarded_headers
from gateway.proxy.request import ForwardRequest
from gateway.proxy.response_body import ResponseBody, check_encoding
from gateway.proxy.settings import Limits
from gateway.proxy.timeouts import CONNECT_ATTEMPTS, RequestTimeouts
from gateway.proxy.transport_errors import is_dropped, translated_errors
from gateway.registry.endpoint import is_loopback

if TYPE_CHECKING:
    from gateway.proxy.translate.responses_request import TranslatedRequest

Guard = Callable[[str], None]

MAX_IDLE_SECONDS = 45.0
# As many as heartbeats run at once (MAX_CONCURRENT_BEATS), so that each keeps its connection.
MAX_IDLE_CONNECTIONS = 64
# The other 3xx, such as 304, do not refer to another address.
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Target:
    """The provider that a request is sent to, with its decrypted key. `version` changes with the registration."""

    provider_id: str
    endpoint: str
    model: str | None = None
    version: str = ""
    status: str = "pending"
    key: str | None = field(default=None, repr=False)


class Chunks(Protocol):
    """The chunks of a body as they arrive. `close()` releases the connection, read to the end or not."""

    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class UpstreamResponse:
    """A provider's response: its head, and its body as chunks that have not been read yet.

    `waited_ms` is the time from sending the request to the head. `abort` ends the connection from any thread, which
    wakes a thread that is blocked in `chunks`. `translation` is set where chat completions answer a Responses request.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Chunks
    waited_ms: float
    abort: Callable[[], None]
    translation: "TranslatedRequest | None" = None

    @property
    def is_stream(self) -> bool:
        """Whether the body is server-sent events."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"


class Upstream:
    """Sends requests to providers over kept connections. One instance per execution environment.

    Uses httpx's transport without its client: a client would follow redirects and share cookies between callers.
    `guard` raises InvalidEndpoint for an address that must not be called. A loopback endpoint is called at
    `loopback_host` instead, with the same Host header and TLS name.
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
        # Created at init, when Lambda gives the function a whole processor.
        self._new_transport = transport or partial(_new_transport, guard, tls_context())
        self._wall_clock = wall_clock
        self._lock = Lock()
        self._transport: httpx.BaseTransport | None = None
        self._used_at = 0.0

    def forward(
        self, request: ForwardRequest, target: Target, *, within: float, repeat_if_dropped: bool = False
    ) -> UpstreamResponse:
        """Sends the request and returns the response once its head has arrived, within about `within` seconds.

        A failed connection attempt is retried once; a request that was sent is never sent again. With
        `repeat_if_dropped` it is sent once more, over a new connection, if the provider closed a kept connection
        without a response. Only heartbeats may be repeated.
        Raises a ForwardingError. Returns a response of any status except a redirect to another address.
        """
        if within <= 0:
            raise DeadlineExceeded("No time was left to wait for the provider. Try again.")
        started_at = time.monotonic()
        timeouts = RequestTimeouts(self._limits, stream=request.stream, within=within)
        late = FirstByteTimeout(_timeout_message(target.endpoint, "send a first byte", timeouts.first_byte))
        with translated_errors(target.endpoint, late):
            try:
                response = self._current_transport().handle_request(self._build(request, target, timeouts))
            except httpx.TransportError as error:
                if not repeat_if_dropped or timeouts.opened_connection or not is_dropped(error):
                    raise
                response = self._send_over_new_connection(self._build(request, target, timeouts))
        if response.status_code in REDIRECTS:
            response.close()
            raise RedirectRefused(
                f"{target.endpoint} redirects (HTTP {response.status_code}), and the gateway sends a key to no "
                "other address. Register the final address."
            )
        check_encoding(response, target.endpoint)
        return _upstream_response(response, request, target, timeouts, (time.monotonic() - started_at) * 1000)

    def _build(self, request: ForwardRequest, target: Target, timeouts: RequestTimeouts) -> httpx.Request:
        built = _build_request(request, target, timeouts, self._guard)
        if self._loopback_host is not None and is_loopback(built.url.host):
            _send_to_host(built, self._loopback_host)
        return built

    def _send_over_new_connection(self, request: httpx.Request) -> httpx.Response:
        """Sends a request with a transport of its own, because the shared one may keep other closed connections."""
        # This transport is not kept, so its connection must end with the response.
        request.headers["connection"] = "close"
        return self._new_transport().handle_request(request)

    def close(self) -> None:
        """Closes the kept connections."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _current_transport(self) -> httpx.BaseTransport:
        """Returns a transport without stale connections. Heartbeats call this from many threads at once."""
        with self._lock:
            # httpx measures idle time by the monotonic clock, which stops while Lambda freezes the environment.
            now = self._wall_clock()
            if now - self._used_at > MAX_IDLE_SECONDS:
                self.close()
            self._used_at = now
            if self._transport is None:
                self._transport = self._new_transport()
            return self._transport


def _new_transport(guard: Guard, tls: ssl.SSLContext) -> httpx.BaseTransport:
    transport = httpx.HTTPTransport(tls, trust_env=False)
    # httpx has no argument for other connections than those of httpcore's pool.
    transport._pool = cast(  # noqa: SLF001
        "httpcore.ConnectionPool",
        Connections(
            tls,
            Connector(guard),
            retries=CONNECT_ATTEMPTS - 1,
            keepalive_expiry=MAX_IDLE_SECONDS,
            max_idle=MAX_IDLE_CONNECTIONS,
        ),
    )
    return transport


def _build_request(request: ForwardRequest, target: Target, timeouts: RequestTimeouts, guard: Guard) -> httpx.Request:
    def on_event(name: str, info: Mapping[str, Any]) -> None:
        timeouts.on_event(name)
        if name == "connection.connect_tcp.complete":
            _check_peer(info["return_value"], guard)

    query = f"?{request.query}" if request.query else ""
    return httpx.Request(
        request.method,
        target.endpoint + request.path + query,
        headers=_request_headers(request, target),
        content=request.body,
        extensions={"timeout": timeouts.timeout, "trace": on_event},
    )


def _request_headers(request: ForwardRequest, target: Target) -> dict[str, str]:
    ours = {"accept-encoding": "identity", "x-request-id": request.request_id}
    if target.key is not None:
        ours["authorization"] = f"Bearer {target.key}"
    if request.source_ip is not None:
        # TokenHub limits requests by this address. Without it, all callers share one limit.
        ours["x-real-ip"] = request.source_ip
    return dict(request.headers) | ours


def _send_to_host(request: httpx.Request, host: str) -> None:
    """Changes the address that is called. The Host header and the TLS name stay those of the endpoint."""
    request.extensions["sni_hostname"] = request.url.host
    request.url = request.url.copy_with(host=host)


def _check_peer(stream: httpcore.NetworkStream, guard: Guard) -> None:
    """Checks the address of an open connection before anything is sent. Applies to every transport, also a test's."""
    address = stream.get_extra_info("server_addr")[0]
    try:
        guard(address)
    except InvalidEndpoint:
        stream.close()
        raise


def _upstream_response(
    response: httpx.Response, request: ForwardRequest, target: Target, timeouts: RequestTimeouts, waited_ms: float
) -> UpstreamResponse:
    headers = forwarded_headers(response.headers.multi_items(), [target.key] if target.key else [])
    broken = StreamTruncated() if request.stream else AnswerTruncated()
    silent = StreamIdleTimeout(_timeout_message(target.endpoint, "continue its stream", timeouts.silence))
    slow = DeadlineExceeded(_timeout_message(target.endpoint, "complete its answer", timeouts.silence))
    body = ResponseBody(response, target.endpoint, silent if request.stream else slow, broken)
    return UpstreamResponse(response.status_code, headers, body, waited_ms, body.abort)


def _timeout_message(endpoint: str, action: str, seconds: float) -> str:
    return f"{endpoint} did not {action} within {seconds:g} s. Try again, or use a faster model."
