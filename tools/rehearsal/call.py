"""The words between the rehearsal TokenHub's parts: a `Call` (a request, read) and an `Answer` (what goes back)."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tools.rehearsal.streams import Spoken

WRAPPED = ("/v1/chat", "/v1/plan")

type Json = dict[str, Any]


class Cut(Enum):
    """Ways to leave a body unfinished: a TCP reset, or a close without the last chunk."""

    RESET = "reset"
    CLOSE = "close"


type Piece = bytes | float | Cut


@dataclass(frozen=True)
class Answer:
    """A status, headers, and the pieces of a body: bytes to write, seconds to pause (`inf`: for ever) or a cut.

    `wait` is the pause in seconds before the status. In a stream the first `opening` pieces come before the
    first token and the last `ending` pieces finish it.
    """

    status: int
    headers: dict[str, str]
    pieces: tuple[Piece, ...]
    wait: float = 0.0
    opening: int = 0
    ending: int = 0

    @property
    def streamed(self) -> bool:
        return self.headers.get("Content-Type") == "text/event-stream"

    @property
    def length(self) -> int | None:
        """Content-Length in bytes; None when only chunks can carry this body."""
        written = [piece for piece in self.pieces if isinstance(piece, bytes)]
        return None if self.streamed or len(written) < len(self.pieces) else sum(map(len, written))


@dataclass(frozen=True)
class Call:
    """One request as routes and modes see it; `delay` is the rehearsed one in seconds."""

    path: str
    payload: Json
    request_id: str
    credential: str = ""
    json_error: str | None = None
    delay: float | None = None
    model: str = ""
    alias: str | None = None

    @property
    def inner(self) -> Json:
        """The chat request itself, which /v1/chat and /v1/plan wrap."""
        return inner_request(self.path, self.payload)

    @property
    def parameters(self) -> Json:
        return as_dict(self.inner.get("parameters")) if self.path in WRAPPED else self.inner

    @property
    def messages(self) -> list[Json]:
        found = self.inner.get("messages")
        return [message for message in found if isinstance(message, dict)] if isinstance(found, list) else []

    @property
    def streams(self) -> bool:
        return self.inner.get("stream") is True and self.path != "/v1/plan"

    @property
    def choices(self) -> int:
        count = self.parameters.get("n")
        return count if isinstance(count, int) and 1 <= count <= 16 else 1

    @property
    def spoken(self) -> Spoken:
        """The echo: the last user message, cut at `max_tokens` as a model would."""
        users = [message for message in self.messages if message.get("role") == "user"]
        tokens = re.findall(r"\s*\S+|\s+$", _text(users[-1].get("content"))) if users else []
        limit = self.parameters.get("max_tokens")
        kept = tokens[:limit] if isinstance(limit, int) and limit > 0 else tokens
        prompt = sum(len(_text(message.get("content")).split()) for message in self.messages)
        return Spoken(self.model, tuple(kept), len(kept) < len(tokens), prompt)


def inner_request(path: str, payload: Json) -> Json:
    return as_dict(payload.get("request")) if path in WRAPPED else payload


def as_dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _text(content: object) -> str:
    """Message text; of a part array only the text parts survive TokenHub."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
