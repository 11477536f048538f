"""Hypothesis strategies for streams of chat chunks."""

import json

from hypothesis import strategies as st

from tests.scripted_server import DONE
from tests.unit.gateway.proxy.translate.strategies import INPUTS, TEXT
from tests.unit.gateway.responses import Json, call, chunk, usage_chunk

FINISH_REASONS = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
TEXT_FIELDS = st.sampled_from(["content", "content", "reasoning_content", "refusal"])
TOOL_NAMES = st.sampled_from(["look_up", "patch", "agents__spawn", "tool_search", "unknown"])


@st.composite
def texts(draw: st.DrawFn, _index: int) -> list[Json]:
    field = draw(TEXT_FIELDS)
    return [{field: text} for text in draw(st.lists(TEXT, max_size=3))]


@st.composite
def calls(draw: st.DrawFn, index: int) -> list[Json]:
    """The deltas of up to three calls, which alternate."""
    queues: list[list[Json]] = []
    for each in range(index, index + draw(st.integers(1, 3))):
        arguments = json.dumps(draw(INPUTS), ensure_ascii=False)
        at = draw(st.integers(0, len(arguments)))
        first = call(each, id=f"call_{each}", name=draw(TOOL_NAMES))
        queues.append([first, call(each, arguments[:at]), call(each, arguments[at:])])
    deltas: list[Json] = []
    while queues := [queue for queue in queues if queue]:
        deltas.append(draw(st.sampled_from(queues)).pop(0))
    return deltas


@st.composite
def chat_streams(draw: st.DrawFn) -> bytes:
    """The bytes of a whole stream, with comments between the chunks and any kind of line end."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for strategy in draw(st.lists(st.sampled_from([texts, calls]), max_size=4)):
        deltas += draw(strategy(sum("tool_calls" in delta for delta in deltas)))
    chunks = [chunk(delta) + draw(st.sampled_from([b"", b"", b": comment\n\n"])) for delta in deltas]
    usage = draw(st.sampled_from([b"", usage_chunk()]))
    whole = b"".join([*chunks, chunk({}, draw(FINISH_REASONS)), usage, DONE])
    return whole.replace(b"\n", draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
