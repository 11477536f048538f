"""Addresses at which nobody answers, and nobody refuses."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def deaf(*addresses: str, port: int = 0) -> Iterator[int]:
    """A port of these loopback addresses that takes no connection and refuses none, as behind a firewall: the queue
    of each is full, and Linux drops what comes then."""
    with ExitStack() as sockets:
        for address in addresses:
            server = sockets.enter_context(socket.create_server((address, port), backlog=0))
            port = server.getsockname()[1]
            for _ in range(4):
                waiting = sockets.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
        yield port
