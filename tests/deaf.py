"""Loopback addresses that neither accept nor refuse a connection."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def deaf(*addresses: str, port: int = 0) -> Iterator[int]:
    """Yields a port of these addresses where connections time out, as behind a firewall.

    The accept queue of each address is full. Linux drops further connection requests.
    """
    with ExitStack() as sockets:
        for address in addresses:
            server = sockets.enter_context(socket.create_server((address, port), backlog=0))
            port = server.getsockname()[1]
            for _ in range(4):
                waiting = sockets.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
        yield port
