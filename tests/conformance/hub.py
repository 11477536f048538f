"""What the conformance tests need from a TokenHub: a real one, or the rehearsal TokenHub."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol


class Play(Enum):
    """How every model provider behind TokenHub answers. The values are the rehearsal's modes."""

    ECHO = "normal"
    CUT = "cut_clean"
    ERROR_IN_BAND = "error_in_band"
    UNAUTHORIZED = "all_failed"
    RATE_LIMITED = "model_rate_limited"
    OVERLOADED = "model_overloaded"
    ERROR_WITH_STATUS_200 = "wrapped_error"


class Refusal(Enum):
    """Why TokenHub itself refuses a key. The values are the rehearsal's modes."""

    SCOPE = "no_scope"
    BUDGET = "budget"
    RATE = "key_rate_limit"


@dataclass(frozen=True)
class Models:
    """The registered models, the OpenAI model's provider and an alias of the OpenAI model."""

    openai: str
    anthropic: str
    embedding: str
    provider: str
    alias: str
    alias_target: str


class Hub(Protocol):
    """A running TokenHub. `url` is its origin, `key` may use every scope."""

    url: str
    key: str

    @property
    def models(self) -> Models:
        """Returns the names of the registered models."""

    def prepare(self) -> None:
        """Makes every provider echo again. Runs before each test."""

    def play(self, play: Play) -> None:
        """Changes how every model provider answers."""

    def refused_key(self, refusal: Refusal) -> str:
        """Returns a key that TokenHub refuses for this reason at the latest on its third request."""

    def forwarded(self) -> dict[str, Any]:
        """Returns the last request body that a model provider received."""

    def close(self) -> None:
        """Removes everything that the tests set up."""
