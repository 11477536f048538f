"""The checks of the smoke test: their target, their outcomes."""

from collections.abc import Callable
from dataclasses import dataclass

from tools.smoke.wire import Gateway


class Failed(Exception):
    """The check saw something unexpected. The text describes it."""


class Skipped(Exception):
    """The check cannot run here. The text gives the reason."""


@dataclass(frozen=True)
class Target:
    """The gateway under test. `is_rehearsal` means that the rehearsal TokenHub, which fails on demand, is behind it."""

    gateway: Gateway
    client_token: str | None
    is_rehearsal: bool

    def require_rehearsal(self) -> None:
        """Raises Skipped without the rehearsal TokenHub."""
        if not self.is_rehearsal:
            raise Skipped("needs the rehearsal TokenHub behind the gateway")


@dataclass(frozen=True)
class Check:
    """`run` returns a description of what it saw, or raises Failed or Skipped."""

    name: str
    expected: str
    run: Callable[[Target], str]


def require(condition: object, actual: str) -> str:
    """Returns the description of what was seen. Raises Failed with it if the condition is false."""
    if not condition:
        raise Failed(actual)
    return actual
