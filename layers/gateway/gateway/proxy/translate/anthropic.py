"""Translates a stream of Anthropic Messages events to OpenAI's `chat.completion.chunk` frames, event by event.

For a model of an Anthropic provider TokenHub streams Anthropic's events on `/v1/chat/completions`
(docs/tokenhub.md, 1.3). docs/clients.md lists what is translated and what is dropped.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from gateway.core.errors import GatewayError
from gateway.proxy.sse import END_MARK, KEEP_ALIVE, json_object
from gateway.proxy.translate.events import Event, EventReader, EventTooLong
from gateway.proxy.translate.tools import ToolCalls
from gateway.proxy.translate.usage import TokenCounts

# A stream that starts with more bytes of comments and pings is not translated.
MAX_UNDECIDED_BYTES = 64 * 1024
# All other stop reasons become `stop`: end_turn, stop_sequence, pause_turn and unknown ones.
FINISH_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# The delta's type, its field, and OpenAI's name for it. A block that starts with content has the same field.
TEXT_FIELDS = {
    "text_delta": ("text", "content"),
    "thinking_delta": ("thinking", "reasoning_content"),
}
TRANSLATED_BLOCKS = {"text", "thinking", "tool_use"}
INVALID_EVENT = "The model provider's stream has an event that is not a JSON object."
LONG_EVENT = "The model provider's stream has an event of more than 8 MB."


class FirstEvent:
    """Decides whether a stream is Anthropic's: its first event is `message_start`. Comments and pings are skipped.

    A stream whose first event is an error is not translated.
    """

    def __init__(self) -> None:
        self._reader = EventReader()
        self._size = 0

    def feed(self, data: bytes) -> bool | None:
        """Reads the next bytes of the stream. Returns the decision, or None while the first event is missing."""
        self._size += len(data)
        try:
            for event in self._reader.feed(data):
                kind = "ping" if event is None else _kind(event, json_object(event.data) or {})
                if kind != "ping":
                    return kind == "message_start"
        except EventTooLong:
            return False
        return None if self._size <= MAX_UNDECIDED_BYTES else False


class AnthropicTranslator:
    """Translates one stream. It is fed the provider's bytes from the first one on, cut anywhere.

    `created` is the Unix time in seconds that all chunks have. `include_usage` is the request's
    `stream_options.include_usage`: the usage then has a chunk of its own. `stream_error` turns the `error` of an
    event, a dict or a message, into the exception to raise.
    """

    def __init__(self, *, created: int, include_usage: bool, stream_error: Callable[[object], GatewayError]) -> None:
        self._created = created
        self._include_usage = include_usage
        self._stream_error = stream_error
        self._reader = EventReader()
        self._id = f"chatcmpl-{created}"
        self._model = ""
        self._dropped_blocks: set[int] = set()
        self._tools = ToolCalls()
        self._counts = TokenCounts()
        self._finished = False
        # Whether `[DONE]` was returned. Later events are dropped.
        self.done = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the frames for each event that these bytes complete.

        Raises `stream_error` at an `error` event, and at an event that is not a JSON object or is too long.
        """
        try:
            for event in self._reader.feed(data):
                if not self.done and (frames := KEEP_ALIVE if event is None else self._translate(event)):
                    yield frames
        except EventTooLong:
            raise self._stream_error(LONG_EVENT) from None

    def end(self) -> bytes:
        """Returns the frames that a complete stream without `message_stop` still needs."""
        return b"" if self.done else self._message_stop()

    def _translate(self, event: Event) -> bytes:
        if event.data.strip() == b"[DONE]":
            return self._message_stop()
        content = json_object(event.data)
        kind = _kind(event, content or {})
        if content is None or kind == "error" or content.get("error"):
            raise self._stream_error(INVALID_EVENT if content is None else content.get("error"))
        return self._translate_kind(kind, content)

    def _translate_kind(self, kind: str, event: dict[str, Any]) -> bytes:
        match kind:
            case "message_start":
                return self._message_start(event)
            case "content_block_start":
                return self._block_start(event)
            case "content_block_delta":
                return self._block_delta(event)
            case "content_block_stop":
                return self._delta_chunk(self._tools.stop(_index(event)))
            case "message_delta":
                return self._message_delta(event)
            case "message_stop":
                return self._message_stop()
            case "ping":
                return KEEP_ALIVE
        # Anthropic may add events.
        return b""

    def _message_start(self, event: dict[str, Any]) -> bytes:
        message = _object(event, "message")
        self._id = _text(message, "id") or self._id
        self._model = _text(message, "model")
        self._counts.update(message.get("usage"))
        return self._delta_chunk({"role": "assistant", "content": ""})

    def _block_start(self, event: dict[str, Any]) -> bytes:
        index, block = _index(event), _object(event, "content_block")
        kind = _text(block, "type")
        if kind not in TRANSLATED_BLOCKS:
            self._dropped_blocks.add(index)
            return b""
        if kind == "tool_use":
            return self._delta_chunk(self._tools.start(index, block))
        return self._text_chunk(f"{kind}_delta", block)

    def _block_delta(self, event: dict[str, Any]) -> bytes:
        index, delta = _index(event), _object(event, "delta")
        if index in self._dropped_blocks:
            return b""
        if delta.get("type") == "input_json_delta":
            return self._delta_chunk(self._tools.append(index, delta.get("partial_json")))
        return self._text_chunk(_text(delta, "type"), delta)

    def _message_delta(self, event: dict[str, Any]) -> bytes:
        self._counts.update(event.get("usage"))
        reason = _text(_object(event, "delta"), "stop_reason")
        return self._finish(reason) if reason else b""

    def _message_stop(self) -> bytes:
        self.done = True
        frames = self._finish("")
        usage = self._counts.openai_usage() if self._include_usage else None
        return frames + (self._chunk([], usage) if usage else b"") + END_MARK

    def _finish(self, stop_reason: str) -> bytes:
        """Returns the chunk with the finish reason, once. Repeating its usage would count the tokens twice."""
        if self._finished:
            return b""
        self._finished = True
        tools = b"".join(map(self._delta_chunk, self._tools.stop_all()))
        choice = {"index": 0, "delta": {}, "finish_reason": FINISH_REASONS.get(stop_reason, "stop")}
        return tools + self._chunk([choice], None if self._include_usage else self._counts.openai_usage())

    def _text_chunk(self, kind: str, source: dict[str, Any]) -> bytes:
        field, name = TEXT_FIELDS.get(kind, ("", ""))
        text = _text(source, field)
        return self._delta_chunk({name: text}) if text else b""

    def _delta_chunk(self, delta: dict[str, Any] | None) -> bytes:
        return b"" if delta is None else self._chunk([{"index": 0, "delta": delta, "finish_reason": None}])

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk: dict[str, Any] = {"id": self._id, "object": "chat.completion.chunk", "created": self._created}
        chunk |= {"model": self._model, "choices": choices} | ({"usage": usage} if usage else {})
        # ASCII only: a text may have half of a surrogate pair, which UTF-8 cannot encode.
        return f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n".encode()


def _kind(event: Event, content: dict[str, Any]) -> str:
    return _text(content, "type") or event.name


def _object(source: dict[str, Any], name: str) -> dict[str, Any]:
    value = source.get(name)
    return value if isinstance(value, dict) else {}


def _text(source: dict[str, Any], name: str) -> str:
    value = source.get(name)
    return value if isinstance(value, str) else ""


def _index(event: dict[str, Any]) -> int:
    value = event.get("index")
    return value if isinstance(value, int) else 0
