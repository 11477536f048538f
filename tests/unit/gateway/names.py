"""Fake DNS: a host name whose addresses the test chooses."""

import socket
from typing import Any

import pytest

NAME = "tokenhub.example.com"


class Dns:
    """Resolves NAME to `addresses` and counts the lookups in `lookups`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.addresses: tuple[str, ...] = addresses
        self.lookups = 0
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        # IP addresses need no lookup.
        if host != NAME:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        self.lookups += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]
