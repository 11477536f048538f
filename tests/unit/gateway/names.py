"""A name whose addresses a test chooses, and addresses at which nobody answers."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

NAME = "tokenhub.example.com"


class Dns:
    """What the name resolves to now, and how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.addresses: tuple[str, ...] = addresses
        self.asked = 0
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if host != NAME:  # an address: nobody is asked for it
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]


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
