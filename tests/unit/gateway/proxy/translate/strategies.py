"""Hypothesis strategies for Anthropic streams."""

import json

from hypothesis import strategies as st

from tests.unit.gateway.anthropic_events import (
    MESSAGE_STOP,
    PING,
    Json,
    block_delta,
    block_start,
    block_stop,
    frame,
    message_delta,
    message_start,
    text_block,
    thinking_block,
    tool_block,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
TEXTS = st.lists(TEXT, max_size=3)
VALUES = st.none() | st.booleans() | st.integers(-9, 9) | TEXT
INPUTS = st.dictionaries(TEXT, VALUES | st.lists(VALUES, max_size=2), max_size=3)
COUNTS = st.integers(0, 1000)
STOP_REASONS = st.sampled_from(
    ["end_turn", "stop_sequence", "pause_turn", "max_tokens", "model_context_window_exceeded", "tool_use", "refusal"]
)
USAGES = st.fixed_dictionaries(
    {"input_tokens": COUNTS, "output_tokens": COUNTS},
    optional={"cache_creation_input_tokens": COUNTS, "cache_read_input_tokens": COUNTS},
)
LATE_USAGES = st.fixed_dictionaries({"output_tokens": COUNTS}, optional={"input_tokens": COUNTS})


@st.composite
def cut(draw: st.DrawFn, whole: bytes) -> list[bytes]:
    """The bytes in pieces, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@st.composite
def tool_blocks(draw: st.DrawFn, index: int) -> list[Json]:
    kind = draw(st.sampled_from(["tool_use", "tool_use", "server_tool_use"]))
    arguments = json.dumps(draw(INPUTS), ensure_ascii=draw(st.booleans()))
    if arguments == "{}" or draw(st.booleans()):
        pieces = [arguments[:3], "", arguments[3:]] if arguments != "{}" else [""]
        return tool_block(index, "look_up", *pieces, kind=kind)
    return tool_block(index, "look_up", kind=kind, value=draw(VALUES))


@st.composite
def parallel_tools(draw: st.DrawFn, index: int) -> list[Json]:
    """The events of up to three tool blocks. Their deltas are interleaved, and pings are anywhere."""
    tools = [draw(tool_blocks(index + offset)) for offset in range(draw(st.integers(1, 3)))]
    # All starts come first: the Anthropic SDK requires blocks to start in the order of their index.
    starts, queues = [tool[0] for tool in tools], [tool[1:] for tool in tools]
    rest: list[Json] = []
    while queues := [queue for queue in queues if queue]:
        rest.append(draw(st.sampled_from(queues)).pop(0))
        rest += [PING] * draw(st.integers(0, 1))
    return [*starts, *rest]


@st.composite
def text_blocks(draw: st.DrawFn, index: int) -> list[Json]:
    kind = draw(st.sampled_from(["text", "thinking", "redacted_thinking"]))
    if kind == "thinking":
        return thinking_block(index, *draw(TEXTS))
    if kind == "redacted_thinking":
        return [block_start(index, kind, data="eA=="), block_stop(index)]
    citation = block_delta(index, "citations_delta", citation={"type": "char_location", "cited_text": "x"})
    start, *rest = text_block(index, *draw(TEXTS))
    return [start, citation, *rest]


@st.composite
def events(draw: st.DrawFn) -> list[Json]:
    """The events of a whole message."""
    content: list[Json] = []
    for strategy in draw(st.lists(st.sampled_from([text_blocks, parallel_tools]), max_size=3)):
        block_count = sum(event["type"] == "content_block_start" for event in content)
        content += draw(strategy(block_count))
    end = message_delta(draw(STOP_REASONS), **draw(LATE_USAGES))
    return [message_start(draw(USAGES)), *content, end, MESSAGE_STOP]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """The bytes of a whole stream, with pings or comments before it and any kind of line end."""
    before = draw(st.sampled_from([b"", b": comment\n\n", frame(PING)]))
    stream = before + b"".join(map(frame, draw(events())))
    return stream.replace(b"\n", draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
