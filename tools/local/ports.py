"""The ports of a local system: checks that they are free and binds them."""

import errno
import socket

from tools.local.settings import UserError

# `localhost` resolves to either address, depending on the machine.
LOOPBACK_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def listening(port: int) -> bool:
    """Returns whether a program on this machine accepts connections on `port`."""
    for family, address in LOOPBACK_ADDRESSES:
        with socket.socket(family) as probe:
            probe.settimeout(1)
            if probe.connect_ex((address, port)) == 0:
                return True
    return False


def bind(port: int, variable: str) -> list[socket.socket]:
    """Returns sockets bound to `port` on every loopback address of the machine. Raises UserError if it is in use."""
    # Some systems let a second program bind a loopback address while the first one has the wildcard address.
    if listening(port):
        raise _in_use(port, variable)
    sockets = []
    for family, address in LOOPBACK_ADDRESSES:
        server = socket.socket(family)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((address, port))
            sockets.append(server)
        except OSError as error:
            server.close()
            if error.errno == errno.EADDRINUSE:
                raise _in_use(port, variable) from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise UserError(f"{variable} {port} needs administrator rights. Choose a port above 1023.") from None
    return sockets


def check_free(port: int, variable: str) -> None:
    """Raises UserError if `port` is in use."""
    for server in bind(port, variable):
        server.close()


def _in_use(port: int, variable: str) -> UserError:
    other_port = port + 1 if port < 65535 else port - 1
    return UserError(
        f"{variable} {port} is in use by another program. Stop it, or choose another port: "
        f"make dev {variable}={other_port}"
    )
