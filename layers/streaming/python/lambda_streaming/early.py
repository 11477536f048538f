"""A connection to the Runtime API that is opened before the response is known."""

import contextlib
import socket
from threading import local

from . import wire


class _Early(local):
    """The connection of the invocation that this thread handles, with its address."""

    connection: tuple[str, socket.socket] | None = None


_early = _Early()


def connect(address: str) -> None:
    """Opens the connection. Never raises: without it, the response opens its own."""
    discard()
    with contextlib.suppress(wire.RuntimeApiError):
        _early.connection = address, wire.connect(address)


def take(address: str) -> socket.socket | None:
    """Returns the open connection, once. None if the Runtime API has closed it meanwhile."""
    opened, _early.connection = _early.connection, None
    if opened is None:
        return None
    if opened[0] == address and wire.is_unused(opened[1]):
        return opened[1]
    opened[1].close()
    return None


def discard() -> None:
    """Closes the connection of an invocation that failed."""
    opened, _early.connection = _early.connection, None
    if opened is not None:
        opened[1].close()
