"""Translates chat completions to OpenAI's Responses: a stream chunk by chunk, or a whole answer.

docs/clients.md lists the events and the fields.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from gateway.core.answer_errors import NotACompletion
from gateway.core.errors import GatewayError
from gateway.proxy.error_frames import response_error_code
from gateway.proxy.sse import KEEP_ALIVE, error_of, json_object, named_error
from gateway.proxy.translate.chat_deltas import Delta, InvalidMember, read_delta, read_message
from gateway.proxy.translate.events import EventReader, EventTooLong
from gateway.proxy.translate.responses_items import EventWriter
from gateway.proxy.translate.responses_output import Output
from gateway.proxy.translate.responses_request import TranslatedRequest
from gateway.proxy.usage import is_count

# The finish reasons of an incomplete answer, and OpenAI's name for them. All others mean a complete one.
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
SIMPLE_START = b"data: "
SIMPLE_BORDER = b"\n\n" + SIMPLE_START
INVALID_EVENT = "The provider's stream has an event that is not a JSON object."
LONG_EVENT = "The provider's stream has an event of more than 8 MB."

type Json = dict[str, Any]


class ResponseBuilder:
    """Builds one Response. `created_at` is the Unix time in seconds, `suffix` makes the ids unique.

    `stream_error` converts the `error` of a chunk (a dict or a message) to the exception to raise.
    """

    def __init__(
        self,
        request: TranslatedRequest,
        *,
        suffix: str,
        created_at: int,
        stream_error: Callable[[object], GatewayError],
    ) -> None:
        self._request = request
        self._stream_error = stream_error
        self.id = f"resp_{suffix}"
        self._head: Json = {"id": self.id, "object": "response", "created_at": created_at}
        self._model = request.chat.get("model")
        self._reader = EventReader()
        self._writer = EventWriter()
        self._output = Output(self._writer, request.tools, suffix)
        self._usage: Json | None = None
        self._started = False
        # Whether the reader holds no part of a frame.
        self._is_between_frames = True
        self._finish_reason = ""
        # The fields of the request that each Response repeats, as JSON. Encoded once.
        self._repeated = ""
        # Whether the last event was returned. Later chunks are dropped.
        self.done = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the events for each chunk that these bytes complete.

        Raises the exception of `stream_error` for a chunk that reports an error, is not a JSON object or is too long.
        """
        if self._is_between_frames and (chunks := _simple_events(data)):
            # The reader would double the cost of a chunk.
            for chunk in chunks:
                if chunk and not self.done and (events := self._translate(chunk)):
                    yield events
            return
        self._is_between_frames = data.endswith(b"\n\n")
        try:
            for event in self._reader.feed(data):
                if self.done:
                    return
                if events := KEEP_ALIVE if event is None else self._translate(event.data, event.name):
                    yield events
        except EventTooLong:
            raise self._stream_error(LONG_EVENT) from None

    def end(self) -> bytes:
        """Returns the events that a complete stream without `[DONE]` still needs."""
        return b"" if self.done else self._complete()

    def fail(self, error: GatewayError) -> bytes:
        """Returns `response.failed`, which ends a broken stream. SDKs expect `response.created` before it."""
        self.done = True
        details = {"code": response_error_code(error), "message": error.message}
        start = b"" if self._started else self._start()
        return start + self._response_event("response.failed", "failed", error=details)

    def whole(self, completion: Json) -> bytes:
        """Returns the Response of a completion. Raises NotACompletion if it has no message."""
        try:
            choice = _first(completion)
            message = _object(choice, "message")
            if not message:
                raise NotACompletion("The provider's answer is not a chat completion. Check the registered endpoint.")
            self._read_chunk(completion, choice, read_message(message))
        except InvalidMember as invalid:
            reason = f"The provider's answer has an invalid {invalid}. Check the registered endpoint."
            raise NotACompletion(reason) from None
        self._finish()
        return self._response(*self._outcome()).encode()

    def _translate(self, data: bytes, name: str = "") -> bytes:
        chunk = json_object(data)
        if name == "error":
            raise self._stream_error(error_of(chunk or {}) or named_error(chunk, data))
        if chunk is None:
            if data.strip() == b"[DONE]":
                return self._complete()
            raise self._stream_error(INVALID_EVENT)
        # A search of the bytes is much cheaper than a search of the chunk.
        if b"error" in data and (error := error_of(chunk)):
            raise self._stream_error(error)
        try:
            choice = _first(chunk)
            # Read before the first event is written, so that an invalid delta leaves no gap in the events' numbers.
            delta = read_delta(_object(choice, "delta"))
        except InvalidMember as invalid:
            raise self._stream_error(f"The provider's stream has a chunk with an invalid {invalid}.") from None
        return self._read_chunk(chunk, choice, delta)

    def _read_chunk(self, chunk: Json, choice: Json, delta: Delta) -> bytes:
        if usage := chunk.get("usage"):
            self._usage = _usage(usage) or self._usage
        if self._started:
            return self._read_choice(choice, delta)
        model = chunk.get("model")
        self._model = model if isinstance(model, str) and model else self._model
        return self._start() + self._read_choice(choice, delta)

    def _read_choice(self, choice: Json, delta: Delta) -> bytes:
        if self._finish_reason:
            return b""
        events = self._output.append(delta)
        reason = choice.get("finish_reason")
        if reason and isinstance(reason, str):
            self._finish_reason = reason
            events += self._finish()
        return events

    def _start(self) -> bytes:
        self._started = True
        events = (self._response_event(f"response.{name}", "in_progress") for name in ("created", "in_progress"))
        return b"".join(events)

    def _finish(self) -> bytes:
        return self._output.close(complete=self._finish_reason not in INCOMPLETE)

    def _complete(self) -> bytes:
        """Returns the last event. It waits for `[DONE]`, because the usage follows the finish reason."""
        self.done = True
        start = b"" if self._started else self._start()
        status, reason = self._outcome()
        return start + self._finish() + self._response_event(f"response.{status}", status, reason)

    def _outcome(self) -> tuple[str, str | None]:
        reason = INCOMPLETE.get(self._finish_reason)
        return ("incomplete" if reason else "completed"), reason

    def _response_event(self, kind: str, status: str, reason: str | None = None, *, error: Json | None = None) -> bytes:
        return self._writer.event_with(kind, "response", self._response(status, reason, error=error))

    def _response(self, status: str, reason: str | None = None, *, error: Json | None = None) -> str:
        state = self._head | {
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self._model or "",
            "output": self._output.done_items(),
            "previous_response_id": None,
            "store": False,
            "usage": self._usage,
        }
        self._repeated = self._repeated or json.dumps(self._request.repeated, separators=(",", ":"))[1:]
        return f"{json.dumps(state, separators=(',', ':'))[:-1]},{self._repeated}"


def _simple_events(data: bytes) -> list[bytes]:
    """Returns the data of each event if every event is complete and has one line, as usual. Else an empty list."""
    if not data.startswith(SIMPLE_START) or not data.endswith(b"\n\n") or b"\r" in data:
        return []
    events = data[len(SIMPLE_START) : -2].split(SIMPLE_BORDER)
    return events if data.count(b"\n") == 2 * len(events) else []


def _first(chunk: Json) -> Json:
    """Returns the first choice, or an empty one: the chunk with the usage has no choices. Raises InvalidMember."""
    choices = chunk.get("choices")
    if not choices:
        return {}
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        raise InvalidMember("choices")
    return choices[0]


def _object(choice: Json, name: str) -> Json:
    """Returns a member of the choice, or an empty object if it is missing. Raises InvalidMember."""
    value = choice.get(name) or {}
    if not isinstance(value, dict):
        raise InvalidMember(name)
    return value


def _usage(usage: object) -> Json | None:
    """Returns a Response's usage. None for a usage without counts."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not is_count(prompt) or not is_count(completion):
        return None
    prompt_details, completion_details = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": _count(prompt_details, "cached_tokens"),
            "cache_write_tokens": _count(prompt_details, "cache_write_tokens"),
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": _count(completion_details, "reasoning_tokens")},
        "total_tokens": prompt + completion,
    }


def _count(details: object, name: str) -> int:
    value = details.get(name) if isinstance(details, dict) else None
    return value if is_count(value) else 0
