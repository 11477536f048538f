"""The ports of a local system: whether they are free, and sockets that hold them."""

import errno
import socket

from tools.local.settings import LocalError

ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))  # `localhost` is either, by machine


def listening(port: int) -> bool:
    """Whether a program answers on `port` of this machine."""
    for family, address in ADDRESSES:
        with socket.socket(family) as probe:
            probe.settimeout(1)
            if probe.connect_ex((address, port)) == 0:
                return True
    return False


def hold(port: int, variable: str) -> list[socket.socket]:
    """Sockets bound to `port` of each loopback address that the machine has. Raises LocalError if it is taken."""
    if listening(port):  # some systems let a second program bind an address beside the wildcard
        raise _taken(port, variable)
    held = []
    for family, address in ADDRESSES:
        found = socket.socket(family)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((address, port))
            held.append(found)
        except OSError as error:
            found.close()
            if error.errno == errno.EADDRINUSE:
                raise _taken(port, variable) from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise LocalError(f"{variable} {port} is not open to you: choose one above 1023.") from None
    return held


def check(port: int, variable: str) -> None:
    """Raises LocalError if `port` is taken."""
    for found in hold(port, variable):
        found.close()


def _taken(port: int, variable: str) -> LocalError:
    another = port + 1 if port < 65535 else port - 1
    return LocalError(
        f"{variable} {port} is taken by another program: stop it, or choose another: make dev {variable}={another}"
    )
