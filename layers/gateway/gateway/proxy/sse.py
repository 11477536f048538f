"""Server-sent events as bytes: splits chunks into whole frames, detects the end of a stream and reads its usage."""

import json
import re
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import GatewayError

# A comment line without a blank line. A blank line would end an event: openai-python raises a JSONDecodeError on an
# event without data once the provider has sent an `id:` line.
KEEP_ALIVE = b": keep-alive\n"
MAX_FRAME_BYTES = 2 * 1024 * 1024
MAX_BLANK_LINE_BYTES = 4
BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
LINE_END = re.compile(rb"\r\n|\n|\r")
# Larger counts are treated as missing. JSON numbers have no limit; CloudWatch's and DynamoDB's have one.
MAX_TOKENS = 10**9
# The frames that are parsed: those with an end, a usage or an error. The other frames are only counted.
RELEVANT = re.compile(rb'"(?:usage|message_stop|message_start|message_delta|error)"|"finish_reason"\s*:\s*"')


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reports them. None where it reports none."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class StreamWatcher:
    """Splits a stream into whole frames and decides whether the stream is whole.

    A stream is whole when `[DONE]` or `message_stop` arrived with its blank line, or when as many choices as the
    request asked for have a finish reason and the body then ended cleanly. A clean end alone means nothing: TokenHub
    also ends a broken stream with a clean end of the body (docs/tokenhub.md, 1.3).
    """

    def __init__(self, choices: int = 1) -> None:
        self._choices = choices
        # A list, so that a long frame that arrives in small pieces is joined and searched once.
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        # The last bytes of the previous chunk, where a blank line may have started.
        self._edge = b""
        self._mid_frame = False
        self._ends_with_cr = False
        self._finished_choices: set[int] = set()
        self.done = False
        self.frames = 0
        # Whether a frame held anything but an error.
        self.spoke = False
        # The `error` member of a frame.
        self.error: object = None
        self.model: str | None = None
        self.usage = Usage()

    @property
    def mid_frame(self) -> bool:
        """Whether a frame was sent in part. The next thing that is sent must start with a blank line."""
        return self._mid_frame

    @property
    def between_frames(self) -> bool:
        """Whether a comment line may be sent now: not inside a frame, and not between CR and LF of a blank line."""
        return not self._mid_frame and not self._ends_with_cr

    def feed(self, chunk: bytes) -> bytes:
        """Returns the whole frames that this chunk completes, unchanged. Buffers the rest.

        A frame of more than 2 MB is returned in pieces.
        """
        window = self._edge + chunk
        blank_lines = [match.span() for match in BLANK_LINE.finditer(window)]
        self._buffer.append(chunk)
        self._buffered_bytes += len(chunk)
        self._edge = window[1 - MAX_BLANK_LINE_BYTES :]
        frames = self._take_frames(blank_lines, len(window)) if blank_lines else b""
        if self._mid_frame or self._buffered_bytes > MAX_FRAME_BYTES:
            self._mid_frame = True
            frames += self._take_buffer()
        return frames

    def end(self) -> bytes:
        """Handles a clean end of the body. Returns the buffered bytes if the stream is whole, else drops them."""
        rest = self._take_buffer()
        return rest if self.whole_at_end() else b""

    def whole_at_end(self) -> bool:
        """Whether a clean end of the body at this point makes the stream whole."""
        return self.done or len(self._finished_choices) >= self._choices

    def _take_frames(self, blank_lines: list[tuple[int, int]], window_size: int) -> bytes:
        data = self._take_buffer()
        # Negative where the start of the window has been sent already.
        offset = len(data) - window_size
        start = 0
        for begin, end in blank_lines:
            if not self._mid_frame:
                self._read_frame(data[start : offset + begin])
            self._mid_frame = False
            start = offset + end
        # The LF of this CR may be in the next chunk.
        self._ends_with_cr = data[:start].endswith(b"\n\r")
        rest = data[start:]
        self._buffer, self._buffered_bytes, self._edge = [rest], len(rest), rest[1 - MAX_BLANK_LINE_BYTES :]
        return data[:start]

    def _take_buffer(self) -> bytes:
        data = b"".join(self._buffer)
        self._buffer, self._buffered_bytes = [], 0
        return data

    def _read_frame(self, frame: bytes) -> None:
        self.frames += 1
        if self.model is not None and not RELEVANT.search(frame) and b"[DONE]" not in frame:
            return
        data = b"\n".join(_data_lines(frame))
        if data.strip() == b"[DONE]":
            self.done = True
            return
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            # A comment, or an event of another kind.
            return
        if isinstance(event, dict):
            self._read_event(event)

    def _read_event(self, event: dict[str, Any]) -> None:
        if event.get("type") == "message_stop":
            self.done = True
        self.error = event.get("error") or self.error
        self.spoke = self.spoke or not event.get("error")
        message = event.get("message")
        source = message if isinstance(message, dict) else event
        if self.model is None and isinstance(source.get("model"), str):
            self.model = source["model"]
        self.usage = merge_usage(self.usage, source.get("usage"))
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and choice.get("finish_reason"):
                index = choice.get("index")
                self._finished_choices.add(index if isinstance(index, int) else 0)


def merge_usage(known: Usage, report: object) -> Usage:
    """Returns the known usage updated by one more report, which has OpenAI's or Anthropic's field names."""
    if not isinstance(report, dict):
        return known
    prompt = report.get("prompt_tokens", report.get("input_tokens"))
    completion = report.get("completion_tokens", report.get("output_tokens"))
    return Usage(
        prompt if _is_count(prompt) else known.prompt_tokens,
        completion if _is_count(completion) else known.completion_tokens,
    )


def error_frame(error: GatewayError, *, mid_frame: bool = False) -> bytes:
    """Returns the frame that ends a broken stream. SDKs raise an exception on it.

    The order matters. The Anthropic SDK and langchain4j need the name of the event. go-openai needs the data line first
    and `error` as its first key.
    """
    details = error.body()["error"] | {"source": error.source, "status": error.status, "retryable": error.retryable}
    data = json.dumps({"error": details, "type": "error"})
    blank_line = b"\n\n" if mid_frame else b""
    return blank_line + f"data: {data}\nevent: error\n\n".encode()


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_TOKENS


def _data_lines(frame: bytes) -> list[bytes]:
    lines = LINE_END.split(frame)
    return [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
