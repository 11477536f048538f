"""Server-sent events as bytes: whole frames out of chunks, the end of a stream, its usage, and the frames we add."""

import json
import re
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import GatewayError

KEEP_ALIVE = b": keep-alive\n\n"
MAX_FRAME_BYTES = 2 * 1024 * 1024
MAX_BLANK_LINE_BYTES = 4  # bytes of a blank line
BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
MAX_TOKENS = 10**9  # a number beyond it is none
LINE_END = re.compile(rb"\r\n|\n|\r")
# Frames worth parsing: an end, a usage or the first sight of a model. The others are only counted.
TELLING = re.compile(rb'"(?:usage|message_stop|message_start|message_delta|error)"|"finish_reason"\s*:\s*"')


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class StreamWatcher:
    """Takes a stream's chunks, gives back whole frames, and knows whether the stream is whole.

    A stream is whole when `[DONE]` or `message_stop` was seen with its blank line, or when as many choices as the
    request asked for have a finish reason and the body then ended cleanly: TokenHub ends a broken stream with a clean
    end of body too (tokenhub.md, 1.3).
    """

    def __init__(self, choices: int = 1) -> None:
        self._choices = choices
        self._held: list[bytes] = []  # pieces: a long frame that comes in small ones is joined and searched once
        self._size = 0
        self._edge = b""  # where a blank line may have begun
        self._passing_on = False
        self._finished: set[int] = set()
        self.done = False
        self.frames = 0
        self.spoke = False  # a chunk of an answer was seen
        self.error: object = None  # what a provider put into a frame instead of its answer
        self.model: str | None = None
        self.usage = Usage()

    @property
    def mid_frame(self) -> bool:
        """Whether part of a frame has been passed on: what follows has to start with a blank line."""
        return self._passing_on

    def feed(self, chunk: bytes) -> bytes:
        """The whole frames that this chunk completes, byte for byte; what is left over is held."""
        window = self._edge + chunk
        blanks = [blank.span() for blank in BLANK_LINE.finditer(window)]
        self._held.append(chunk)
        self._size += len(chunk)
        self._edge = window[-MAX_BLANK_LINE_BYTES + 1 :]
        frames = self._whole_frames(blanks, len(window)) if blanks else b""
        if self._passing_on or self._size > MAX_FRAME_BYTES:
            self._passing_on = True
            frames += self._release()
        return frames

    def end(self) -> bytes:
        """The body ended cleanly: what was held, if the stream is whole; else it is dropped."""
        held = self._release()
        return held if self.whole_at_end() else b""

    def _whole_frames(self, blanks: list[tuple[int, int]], window: int) -> bytes:
        data = self._release()
        shift = len(data) - window  # negative where the edge of a frame has been passed on already
        start = 0
        for begin, end in blanks:
            if not self._passing_on:
                self._look_at(data[start : shift + begin])
            self._passing_on = False
            start = shift + end
        self._held, self._size, self._edge = (
            [data[start:]],
            len(data) - start,
            data[start:][-MAX_BLANK_LINE_BYTES + 1 :],
        )
        return data[:start]

    def _release(self) -> bytes:
        data = b"".join(self._held)
        self._held, self._size = [], 0
        return data

    def whole_at_end(self) -> bool:
        """Whether a clean end of body here makes the stream whole."""
        return self.done or len(self._finished) >= self._choices

    def _look_at(self, frame: bytes) -> None:
        self.frames += 1
        if self.model is not None and not TELLING.search(frame) and b"[DONE]" not in frame:
            return
        data = b"\n".join(_data_lines(frame))
        if data.strip() == b"[DONE]":
            self.done = True
            return
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return  # a comment, or something that is not ours to judge
        if isinstance(event, dict):
            self._learn(event)

    def _learn(self, event: dict[str, Any]) -> None:
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
                self._finished.add(index if isinstance(index, int) else 0)


def merge_usage(known: Usage, given: object) -> Usage:
    """What is known of the usage after one more report, in OpenAI's words or in Anthropic's."""
    if not isinstance(given, dict):
        return known
    prompt = given.get("prompt_tokens", given.get("input_tokens"))
    completion = given.get("completion_tokens", given.get("output_tokens"))
    return Usage(
        prompt if _is_count(prompt) else known.prompt_tokens,
        completion if _is_count(completion) else known.completion_tokens,
    )


def _is_count(given: object) -> bool:
    """JSON's numbers have no end; a metric's have one, and DynamoDB's."""
    return type(given) is int and 0 <= given <= MAX_TOKENS


def error_frame(error: GatewayError, *, mid_frame: bool = False) -> bytes:
    """The one frame that ends a stream which is not whole: the OpenAI and the Anthropic SDK both raise on it."""
    body = error.body()["error"] | {"source": error.source, "status": error.status, "retryable": error.retryable}
    data = json.dumps({"type": "error", "error": body})
    blank = b"\n\n" if mid_frame else b""
    return blank + f"event: error\ndata: {data}\n\n".encode()


def _data_lines(frame: bytes) -> list[bytes]:
    lines = LINE_END.split(frame)
    return [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
