"""Coming to a provider: all addresses of a name within the time of one, and in words why none was reached."""

import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress

import httpcore

MAX_ADDRESSES = 4  # so that each has more than a second of the usual five

CERT_NOT_YET_VALID, CERT_HAS_EXPIRED = 9, 10  # X509_V_ERR_… of OpenSSL's x509_vfy.h
HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH = 62, 64


class Connector(httpcore.SyncBackend):
    """httpcore's own, but for names of several addresses: socket.create_connection, which it asks, gives each of them
    the whole time, so that a firewall before a load balancer of two was told as a slow TokenHub.

    `guard` raises InvalidEndpoint for an address that must not be called: no packet goes there, so that nothing can be
    learnt of what is there."""

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
        """Raises httpcore.ConnectError, or ConnectTimeout after `timeout` seconds; DNS takes the time that it takes."""
        *first, last = _addresses(host, port)
        share = None if timeout is None else timeout / (len(first) + 1)
        for address in first:
            self._guard(address)
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return super().connect_tcp(address, port, share, local_address, socket_options)
        self._guard(last)
        return super().connect_tcp(last, port, share, local_address, socket_options)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))[:MAX_ADDRESSES]


def unreachable(endpoint: str, error: BaseException) -> str:
    """What was in the way of a connection, in words. The cause is somewhere below httpx's error. Its text is not
    passed on: it may hold anything."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _untrusted(endpoint, cause)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"The host name of {endpoint} is not known. Check its spelling and its DNS entry."
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"{endpoint} refused the connection. Is TokenHub running there, and is the port right?"
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return f"{endpoint} did not accept a connection in time. Is the address right? Is a firewall in between?"
    return f"{endpoint} cannot be reached. Is TokenHub running there, and can the gateway's network get to it?"


def _untrusted(endpoint: str, error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"{endpoint} could not agree on TLS. Does it serve https there, or plain http?"
    if error.verify_code in (CERT_HAS_EXPIRED, CERT_NOT_YET_VALID):
        return f"The certificate of {endpoint} has expired, or is not valid yet. Renew it."
    if error.verify_code in (HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH):
        return f"The certificate of {endpoint} is for another host name. Register the name that it is for."
    return f"The certificate of {endpoint} is of no authority that is known. Give it one of a public authority."


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes
