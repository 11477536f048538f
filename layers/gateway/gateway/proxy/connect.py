"""Opens connections, trying every address of a host within one timeout, and explains why a connection failed."""

import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

import httpcore
import httpx

# With the default connect timeout of 5 s, each address gets more than a second.
MAX_ADDRESSES = 4

# X509_V_ERR_… of OpenSSL's x509_vfy.h.
CERT_NOT_YET_VALID, CERT_HAS_EXPIRED = 9, 10
HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH = 62, 64


class Connector(httpcore.SyncBackend):
    """httpcore's network backend, with the connect timeout shared by all addresses of a host.

    socket.create_connection, which httpcore calls, gives each address the whole timeout. Two unreachable addresses
    of a load balancer then take twice as long, and a firewall looks like a slow provider.
    `guard` raises InvalidEndpoint for an address that must not be called. It runs before the first packet is sent, so
    that nobody can find out what listens there.
    """

    def __init__(self, guard: Callable[[str], None]) -> None:
        self._guard = guard

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connects to the first address that accepts.

        Raises httpcore.ConnectError, or httpcore.ConnectTimeout after `timeout` seconds. The timeout does not include
        the DNS lookup.
        """
        *first, last = _addresses(host, port)
        share = None if timeout is None else timeout / (len(first) + 1)
        for address in first:
            self._guard(address)
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return super().connect_tcp(address, port, share, local_address, socket_options)
        self._guard(last)
        return super().connect_tcp(last, port, share, local_address, socket_options)


def unreachable(endpoint: str, error: BaseException) -> str:
    """Returns a message for a failed connection. It never contains the text of `error`, which may hold anything."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(endpoint, cause)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"The host name of {endpoint} cannot be resolved. Check its spelling and its DNS entry."
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"{endpoint} refused the connection. Check that TokenHub is running and that the port is right."
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return f"{endpoint} did not accept a connection in time. Check the address and the firewalls in between."
    return f"{endpoint} cannot be reached. Check that TokenHub is running and that the gateway's network reaches it."


def has_unread_bytes(response: httpx.Response) -> bool:
    """Whether the provider has sent bytes after the end of this response, whose body was read to its end."""
    # httpcore reuses the connection with these bytes in its buffer, and has no public access to them.
    body: Any = cast("Any", response.stream)._httpcore_stream._stream  # noqa: SLF001
    return bool(body._connection._h11_state.trailing_data[0])  # noqa: SLF001


def _addresses(host: str, port: int) -> list[str]:
    try:
        results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in results))[:MAX_ADDRESSES]


def _tls_failure(endpoint: str, error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"The TLS handshake with {endpoint} failed. Check that the server speaks https there, and not http."
    if error.verify_code in (CERT_HAS_EXPIRED, CERT_NOT_YET_VALID):
        return f"The certificate of {endpoint} has expired or is not valid yet. Renew it."
    if error.verify_code in (HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH):
        return f"The certificate of {endpoint} is for another host name. Register the host name of the certificate."
    return f"The certificate of {endpoint} is not from a trusted authority. Install one from a public authority."


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes
