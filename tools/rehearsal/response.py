"""The response that a route or mode of the rehearsal TokenHub returns, and the steps that write its body."""

from dataclasses import dataclass
from enum import Enum


class Disconnect(Enum):
    """How to end a connection before the body is complete: a TCP reset, or a close without the last chunk."""

    RESET = "reset"
    CLOSE = "close"


# Bytes to write, seconds to pause (`inf`: for ever), or a disconnect.
type BodyStep = bytes | float | Disconnect


@dataclass(frozen=True)
class ScriptedResponse:
    """Status, headers and the steps that write the body.

    `delay_s` is the pause before the status. In a stream, the first `leading` steps come before the first token, and
    the last `trailing` steps finish the stream.
    """

    status: int
    headers: dict[str, str]
    steps: tuple[BodyStep, ...]
    delay_s: float = 0.0
    leading: int = 0
    trailing: int = 0

    @property
    def is_stream(self) -> bool:
        return self.headers.get("Content-Type") == "text/event-stream"

    @property
    def body(self) -> bytes:
        """All bytes that the steps write."""
        return b"".join(step for step in self.steps if isinstance(step, bytes))

    @property
    def content_length(self) -> int | None:
        """Content-Length in bytes. None when only chunked encoding can carry this body."""
        if self.is_stream or not all(isinstance(step, bytes) for step in self.steps):
            return None
        return len(self.body)
