"""What a check is."""

from collections.abc import Callable
from dataclasses import dataclass

from tools.smoke.wire import Gateway


class Failed(Exception):
    """Something else was seen than expected; the text says what."""


class Skipped(Exception):
    """It cannot be seen here; the text says why."""


@dataclass(frozen=True)
class Against:
    """What the checks run against. `rehearsal`: the rehearsal TokenHub is behind it, which misbehaves when asked."""

    gateway: Gateway
    client_token: str | None
    rehearsal: bool

    def need_rehearsal(self) -> None:
        """Raises Skipped."""
        if not self.rehearsal:
            raise Skipped("only with the rehearsal TokenHub behind the gateway")


@dataclass(frozen=True)
class Check:
    """`run` gives what it saw, or raises Failed or Skipped."""

    name: str
    expected: str
    run: Callable[[Against], str]


def require(condition: object, seen: str) -> str:
    """What was seen, if it is as it should be. Raises Failed."""
    if not condition:
        raise Failed(seen)
    return seen
