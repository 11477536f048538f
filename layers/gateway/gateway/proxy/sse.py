"""Watches a stream of server-sent events: passes whole frames on, and reads its end, errors, model and usage."""

import json
import re
from typing import Any

from gateway.proxy.completion_facts import response_id, stop_reason, valid_reasons
from gateway.proxy.frames import FrameSplitter, Piece, data_of
from gateway.proxy.usage import Usage, merge_usage

# A comment line without a blank line. A blank line would end an event: openai-python raises a JSONDecodeError on an
# event without data once the provider has sent an `id:` line.
KEEP_ALIVE = b": keep-alive\n"
END_MARK = b"data: [DONE]\n\n"
# The types of the events that end a stream of Anthropic's Messages or OpenAI's Responses.
LAST_EVENTS = {"message_stop", "response.completed", "response.incomplete", "response.failed"}
# The frames that are parsed: those with an end, a usage or an error. The other frames are only counted.
# All alternatives start with a quotation mark: a search for a literal start is ten times as fast.
RELEVANT = re.compile(
    rb'"(?:usage|message_stop|message_start|message_delta|error|response\.(?:completed|incomplete|failed)'
    rb'|finish_reason"\s*:\s*)"'
)
FINISHED_BY_ERROR = "The finish reason is error."
SEQUENCE_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d{1,9})')
ERROR_NAME = re.compile(rb"(?:^|[\r\n])event: ?error(?:[\r\n]|$)")


class StreamWatcher:
    """Passes on the whole frames of a stream and decides whether the stream is whole.

    A stream is whole when its end mark arrived: `[DONE]` or one of `LAST_EVENTS`. It is also whole when as many choices
    as the request asked for have a finish reason and the body then ended cleanly. A clean end alone means nothing:
    TokenHub also ends a broken stream with a clean end of the body (docs/tokenhub.md, 1.3).
    """

    def __init__(self, choices: int = 1) -> None:
        self._choices = choices
        self._splitter = FrameSplitter()
        # The finish reason of each choice that has one.
        self._finished_choices: dict[int, Any] = {}
        # The reason that an Anthropic stream reports.
        self._stop_reason: str | None = None
        self._ends_mid_event = False
        # Whether the end mark arrived.
        self.done = False
        self.frames = 0
        # Whether a frame held anything but an error.
        self.spoke = False
        # The first error that a frame reports: the `error` member, or a message.
        self.error: object = None
        self.model: str | None = None
        self.usage = Usage()
        # The id of the completion or the message, from the first event that has one.
        self.completion_id: str | None = None
        # The id of OpenAI's Response object.
        self.response_id: str | None = None
        self._last_frame = b""

    @property
    def mid_frame(self) -> bool:
        """Whether a frame was sent in part. The next thing that is sent must start with a blank line."""
        return self._splitter.mid_frame

    @property
    def between_frames(self) -> bool:
        """Whether a comment line may be sent now."""
        return self._splitter.between_frames

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """The finish reasons that the stream reported, by the index of their choices."""
        reported = [self._finished_choices[index] for index in sorted(self._finished_choices)]
        return valid_reasons(reported or [self._stop_reason])

    @property
    def next_sequence_number(self) -> int:
        """The number of the event after the last one, in a stream of OpenAI's Responses."""
        last = SEQUENCE_NUMBER.search(self._last_frame)
        return int(last[1]) + 1 if last else 0

    def feed(self, chunk: bytes) -> bytes:
        """Returns what this chunk adds to the stream: whole frames, unchanged, and nothing after the end mark.

        Two things change. A byte order mark is left out, because openai-python and Go's SDKs lose the first
        event to it. A `[DONE]` of any form becomes `END_MARK`, the form that OpenAI sends and every client reads.
        """
        output: list[bytes] = []
        for piece in self._splitter.feed(chunk) if not self.done else ():
            output.append(self._read_piece(piece))
            if self.done:
                break
        return b"".join(output)

    def end(self) -> bytes:
        """Handles a clean end of the body. Returns a last event that lacks its blank line, and adds the blank line.

        Returns nothing if the stream is not whole with that event. `whole_at_end` counts the event from then on.
        """
        in_pieces, frame = self.mid_frame, self._splitter.end()
        if self.done or frame == b"":
            return b""
        if frame is None or not self._read_last_frame(frame):
            self._ends_mid_event = True
        elif self.whole_at_end() and (in_pieces or data_of(frame)):
            return _blank_line_after(frame) if in_pieces else _with_blank_line(frame)
        return b""

    def whole_at_end(self) -> bool:
        """Whether a clean end of the body at this point makes the stream whole."""
        return self.done or (not self._ends_mid_event and len(self._finished_choices) >= self._choices)

    def _read_piece(self, piece: Piece) -> bytes:
        if piece.frame is None:
            return piece.data
        self._read_frame(piece.frame)
        return END_MARK if self.done and piece.is_whole and _is_end_mark(piece.frame) else piece.data

    def _read_last_frame(self, frame: bytes) -> bool:
        """Whether a frame without its blank line is complete. Reads a whole body that is JSON, not events, too."""
        if self.frames == 0 and (body := json_object(frame)) is not None:
            self.error = error_of(body)
            return False
        data = data_of(frame)
        if data and not _is_end_mark(frame) and json_object(data) is None:
            return False
        self._read_frame(frame)
        return True

    def _read_frame(self, frame: bytes) -> None:
        self.frames += 1
        self._last_frame = frame
        if not self._needs_reading(frame):
            return
        if _is_end_mark(frame):
            self.done = True
            return
        data = data_of(frame)
        event = json_object(data)
        if event is not None:
            self._read_event(event)
        if ERROR_NAME.search(frame):
            self.error = self.error or named_error(event, data)

    def _needs_reading(self, frame: bytes) -> bool:
        if not self.spoke or RELEVANT.search(frame) or b"[DONE]" in frame:
            return True
        if b"event: error" in frame or b"event:error" in frame:
            return True
        if self.model is None and b'"model"' in frame:
            return True
        return self.completion_id is None and b'"id"' in frame

    def _read_event(self, event: dict[str, Any]) -> None:
        kind, error = event.get("type"), error_of(event)
        # OpenAI's Responses end with an event `error` too, whose members are at the top level.
        self.done = self.done or kind in LAST_EVENTS or (kind == "error" and "error" not in event)
        self.error = self.error or error
        self.spoke = self.spoke or not error
        inner = event.get("message") or event.get("response")
        source = inner if isinstance(inner, dict) else event
        if self.model is None and isinstance(source.get("model"), str):
            self.model = source["model"]
        self.completion_id = self.completion_id or response_id(source)
        self._stop_reason = stop_reason(event) or self._stop_reason
        if source is event.get("response") and isinstance(source.get("id"), str):
            self.response_id = source["id"]
        usage = source.get("usage")
        # The output tokens of message_start are provisional: message_delta reports the final number.
        self.usage = merge_usage(self.usage, _without_output(usage) if kind == "message_start" else usage)
        for choice in _choices(event):
            if reason := choice.get("finish_reason"):
                index = choice.get("index")
                self._finished_choices[index if isinstance(index, int) else 0] = reason


def _is_end_mark(frame: bytes) -> bool:
    return data_of(frame).strip() == b"[DONE]"


def _with_blank_line(frame: bytes) -> bytes:
    return END_MARK if _is_end_mark(frame) else frame + _blank_line_after(frame)


def _blank_line_after(frame: bytes) -> bytes:
    return b"\n" if frame.endswith(b"\n") else b"\n\n"


def json_object(data: bytes) -> dict[str, Any] | None:
    """Returns None for anything but a JSON object: a comment, or an event of another kind."""
    try:
        # json.loads accepts bytes, but would read them as UTF-16 too.
        content = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def error_of(event: dict[str, Any]) -> object:
    """Returns the error that an event or a completion reports, in the forms of OpenAI, Anthropic and TokenHub."""
    response = event.get("response")
    in_choices = (choice.get("error") for choice in _choices(event))
    return (
        event.get("error")
        or (response.get("error") if isinstance(response, dict) else None)
        or next((error for error in in_choices if error), None)
        or (event.get("message") or "error" if event.get("type") == "error" else None)
        or next((FINISHED_BY_ERROR for choice in _choices(event) if choice.get("finish_reason") == "error"), None)
    )


def named_error(event: dict[str, Any] | None, data: bytes) -> object:
    """Returns the error of an event with the name `error` in whose data `error_of` finds no error."""
    return (event or {}).get("message") or data.decode(errors="replace")


def _choices(event: dict[str, Any]) -> list[dict[str, Any]]:
    choices = event.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _without_output(usage: object) -> object:
    return {k: v for k, v in usage.items() if k != "output_tokens"} if isinstance(usage, dict) else None
