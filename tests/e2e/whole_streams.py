"""Hypothesis strategies for complete streams in every form that a provider may send."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.scripted_server import Framing, Pieces, response

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["Zürich 東京", "🚀🏽", "[DONE]", "data: x\n\n"]
)
FRAMINGS: st.SearchStrategy[Framing] = st.sampled_from(["chunked", "length", "close"])


@dataclass(frozen=True)
class Whole:
    """A complete stream, the path and number of choices of its request, and the pieces that the server sends.

    `expected` are the bodies that a client may receive: it depends on the chunks whether the last LF or what follows
    the last event is read.
    """

    path: str
    choices: int
    expected: tuple[bytes, ...]
    response: Pieces


def frame(draw: st.DrawFn, data: str, event: str | None = None) -> str:
    """One event as one or several `data:` lines, perhaps with comments and other fields; one line end throughout."""
    lines = [f"event: {event}"] if event else []
    colon = draw(st.sampled_from(["data: ", "data:"]))
    lines += [colon + line for line in data.split("\n")]
    extra = draw(st.sampled_from([(), (), (), (": comment 🚧",), ("id: 7",), ("retry: 3000", "unknown: 1")]))
    lines[draw(st.integers(0, len(lines))) : 0] = extra if event is None else []
    end = draw(LINE_ENDS)
    return "".join(line + end for line in lines) + end


def written(draw: st.DrawFn, value: object) -> str:
    # Indented JSON has several lines and needs a `data:` line for each.
    indent = draw(st.sampled_from([None, None, 1]))
    return json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent)


@st.composite
def openai(draw: st.DrawFn) -> tuple[int, str, str]:
    """Text, refusals and parallel tool calls for up to three choices, mixed. The end mark is the third result.

    It is empty in some streams, which then end with the finish reasons.
    """
    choices = draw(st.integers(1, 3))
    deltas = draw(st.lists(st.tuples(st.integers(0, choices - 1), st.one_of(text_delta(), tool_delta())), max_size=8))
    rows: list[dict[str, Any]] = [{"index": index, "delta": delta, "finish_reason": None} for index, delta in deltas]
    reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
    rows += [{"index": index, "delta": {}, "finish_reason": draw(reasons)} for index in range(choices)]
    frames = [frame(draw, written(draw, {"model": "gpt", "choices": [row]})) for row in rows]
    if draw(st.booleans()):
        frames.append(frame(draw, written(draw, {"choices": [], "usage": {"prompt_tokens": 3}})))
    end_mark = frame(draw, "[DONE]") if draw(st.integers(0, 3)) else ""
    return choices, "".join(frames), end_mark


def text_delta() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"content": TEXT})


def tool_delta() -> st.SearchStrategy[dict[str, Any]]:
    def calls(index: int, arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}

    return st.builds(calls, st.integers(0, 2), TEXT)


@st.composite
def anthropic(draw: st.DrawFn) -> tuple[int, str, str]:
    """`event:` lines, pings, several blocks, `message_stop`."""
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"model": "claude", "content": []}}]
    for index, texts in enumerate(draw(st.lists(st.lists(TEXT, max_size=4), max_size=3))):
        events.append({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})
        deltas = [{"type": "text_delta", "text": text} for text in texts]
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events += [{"type": "content_block_stop", "index": index}, {"type": "ping"}]
    events += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}]
    *frames, end_mark = (frame(draw, written(draw, event), event["type"]) for event in events)
    return 1, "".join(frames), end_mark


@st.composite
def split(draw: st.DrawFn, content: bytes) -> tuple[bytes | float, ...]:
    """Splits the bytes anywhere, with short pauses so that the gateway reads some pieces separately."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(content) - 1)), max_size=12)))
    pieces: list[bytes | float] = []
    for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        pieces.append(content[start:end])
        pieces += [0.001] if draw(st.integers(0, 4)) == 0 else []
    return tuple(pieces)


@st.composite
def whole_streams(draw: st.DrawFn) -> Whole:
    path = draw(st.sampled_from(["/v1/chat/completions", "/v1/messages", "/v1/chat"]))
    choices, body, end_mark = draw(anthropic() if path == "/v1/messages" else openai())
    before = draw(st.sampled_from(["", ": PROCESSING\n\n", "\n", ":\r\n\r\n"]))
    after = draw(st.sampled_from(["", "", "\n", ": bye\n\n", ": cut off"]))
    content = (before + body + end_mark + after).encode()
    expected = tuple(text.encode() for text in _expected(path, before + body, end_mark, after))
    return Whole(path, choices, expected, response(draw(split(content)), framing=draw(FRAMINGS)))


def _expected(path: str, body: str, end_mark: str, after: str) -> list[str]:
    if not end_mark:
        return [body, body + after.removesuffix(": cut off")]
    if path == "/v1/messages":
        # A LF after a blank line of two CR belongs to that blank line.
        return [
            body + end_mark,
            (body + end_mark).removesuffix("\n"),
            body + end_mark + ("\n" if after == "\n" else ""),
        ]
    return [body + "data: [DONE]\n\n"]
