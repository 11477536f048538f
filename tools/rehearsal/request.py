"""A request to the rehearsal TokenHub, parsed for its routes and modes."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tools.rehearsal.streams import Echo

# The routes whose payload wraps the chat request in `request`.
WRAPPING_PATHS = ("/v1/chat", "/v1/plan")
MAX_CHOICES = 16

type Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request. `model` is the serving model, `alias` the requested alias, `delay_s` the delay of the mode."""

    path: str
    payload: Json
    request_id: str
    credential: str = ""
    json_error: str | None = None
    delay_s: float | None = None
    model: str = ""
    alias: str | None = None

    @property
    def chat_request(self) -> Json:
        """The chat request, unwrapped on /v1/chat and /v1/plan."""
        return unwrapped(self.path, self.payload)

    @property
    def parameters(self) -> Json:
        if self.path in WRAPPING_PATHS:
            return dict_or_empty(self.chat_request.get("parameters"))
        return self.chat_request

    @property
    def messages(self) -> list[Json]:
        messages = self.chat_request.get("messages")
        return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []

    @property
    def wants_stream(self) -> bool:
        return self.chat_request.get("stream") is True and self.path != "/v1/plan"

    @property
    def choice_count(self) -> int:
        count = self.parameters.get("n")
        return count if isinstance(count, int) and 1 <= count <= MAX_CHOICES else 1

    # Cached: the text of some modes is 33 MB long.
    @cached_property
    def echo(self) -> Echo:
        """The last user message, truncated to `max_tokens` tokens like a model's text."""
        user_messages = [message for message in self.messages if message.get("role") == "user"]
        tokens = re.findall(r"\s*\S+|\s+$", message_text(user_messages[-1].get("content"))) if user_messages else []
        limit = self.parameters.get("max_tokens")
        output = tokens[:limit] if isinstance(limit, int) and limit > 0 else tokens
        prompt_tokens = sum(len(message_text(message.get("content")).split()) for message in self.messages)
        return Echo(self.model, tuple(output), len(output) < len(tokens), prompt_tokens)


def unwrapped(path: str, payload: Json) -> Json:
    """Returns the chat request in a payload."""
    return dict_or_empty(payload.get("request")) if path in WRAPPING_PATHS else payload


def dict_or_empty(value: object) -> Json:
    """Returns the value if it is a dict, otherwise {}."""
    return value if isinstance(value, dict) else {}


def message_text(content: object) -> str:
    """Returns a message's text. TokenHub keeps only the text parts of a part array."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
