import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, ProviderError
from gateway.proxy.frames import MAX_READ_FRAME_BYTES
from gateway.proxy.sse import END_MARK, KEEP_ALIVE
from gateway.proxy.translate.anthropic import AnthropicTranslator
from tests.unit.gateway.anthropic_events import (
    MESSAGE_STOP,
    PING,
    Json,
    block_delta,
    block_start,
    block_stop,
    frame,
    frames,
    message_delta,
    message_start,
    stream,
    text_block,
    thinking_block,
    tool_block,
)
from tests.unit.gateway.builders import BRIEFLY

USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 5,
    "total_tokens": 8,
    "prompt_tokens_details": {"cached_tokens": 0},
}


def stream_error(error: object) -> GatewayError:
    return ProviderError(502, json.dumps(error), code="provider_stream_error", retryable=True)


def translator(*, include_usage: bool = False) -> AnthropicTranslator:
    return AnthropicTranslator(created=7, include_usage=include_usage, stream_error=stream_error)


def translated(data: bytes, *, include_usage: bool = False) -> list[bytes]:
    return list(translator(include_usage=include_usage).feed(data))


def chunks(data: bytes, *, include_usage: bool = False) -> list[Json]:
    """The chunks of a translated stream, without comments and `[DONE]`."""
    lines = b"".join(translated(data, include_usage=include_usage)).decode().split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def deltas(*events: Json) -> list[Json]:
    """The deltas between the role and the finish reason."""
    return [chunk["choices"][0]["delta"] for chunk in chunks(stream(*events))][1:-1]


def test_translates_a_whole_stream() -> None:
    shared = {"id": "msg_1", "object": "chat.completion.chunk", "created": 7, "model": "claude"}

    def chunk(delta: Json, finish_reason: str | None = None) -> Json:
        return shared | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

    assert chunks(stream(*text_block(0, "Grü", "ße"))) == [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Grü"}),
        chunk({"content": "ße"}),
        chunk({}, "stop") | {"usage": USAGE},
    ]


def test_returns_each_event_at_once() -> None:
    events = [message_start(), *text_block(0, "a", "b"), message_delta("end_turn", output_tokens=5), MESSAGE_STOP]
    subject = translator()

    counts = [len(list(subject.feed(frame(event)))) for event in events]

    # The start and the stop of a text block have no counterpart.
    assert counts == [1, 0, 1, 1, 0, 1, 1]
    assert subject.done


def test_ends_with_exactly_one_end_mark() -> None:
    *_, last = translated(stream() + b"data: [DONE]\n\n" + frames(PING, *text_block(0, "more")) + b": comment\n\n")

    assert last == END_MARK


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data:[DONE] \n\n"])
def test_done_ends_a_stream_without_message_stop(end: bytes) -> None:
    out = translated(frames(message_start(), message_delta("max_tokens")) + end)

    assert len(out) == 3
    assert out[-1] == END_MARK


def test_end_completes_a_stream_without_message_stop() -> None:
    subject = translator()
    list(subject.feed(frames(message_start(), message_delta("end_turn", output_tokens=5))))

    assert subject.end() == END_MARK
    assert subject.end() == b""


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("a_reason_of_the_future", "stop"),
    ],
)
def test_translates_stop_reasons(stop_reason: str, finish_reason: str) -> None:
    assert chunks(stream(stop_reason=stop_reason))[-1]["choices"][0]["finish_reason"] == finish_reason


def test_message_stop_without_a_stop_reason_finishes_the_choice() -> None:
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks(frames(message_start(), MESSAGE_STOP))]

    assert reasons == [None, "stop"]


def test_finishes_once_at_several_message_deltas() -> None:
    events = [message_delta(None, output_tokens=2), *[message_delta("max_tokens", output_tokens=5)] * 2, MESSAGE_STOP]
    out = chunks(frames(message_start(), *events))

    assert [chunk["choices"][0]["finish_reason"] for chunk in out] == [None, "length"]
    assert [chunk.get("usage") for chunk in out] == [None, USAGE]


def test_usage_has_its_own_chunk_where_the_request_asked_for_it() -> None:
    *rest, last = chunks(stream(*text_block(0, "a")), include_usage=True)

    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert all("usage" not in chunk for chunk in rest)


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_without_usage_has_no_usage_chunk(include_usage: bool) -> None:
    out = chunks(frames(message_start({}), message_delta("end_turn"), MESSAGE_STOP), include_usage=include_usage)

    assert len(out) == 2
    assert all("usage" not in chunk for chunk in out)


def test_translates_thinking_and_drops_its_signature() -> None:
    assert deltas(*thinking_block(0, "hm", "m"), *text_block(1, "a")) == [
        {"reasoning_content": "hm"},
        {"reasoning_content": "m"},
        {"content": "a"},
    ]


def test_translates_text_in_the_start_of_a_block() -> None:
    blocks = [block_start(0, "thinking", thinking="hm"), block_stop(0), block_start(1, "text", text="a"), block_stop(1)]

    assert deltas(*blocks) == [{"reasoning_content": "hm"}, {"content": "a"}]


def call(index: int, arguments: str, **fields: str) -> Json:
    function = {"arguments": arguments}
    if not fields:
        return {"tool_calls": [{"index": index, "function": function}]}
    start = {"index": index, "id": fields["id"], "type": "function", "function": {"name": fields["name"]} | function}
    return {"tool_calls": [start]}


def test_translates_parallel_tool_calls() -> None:
    first, second = tool_block(1, "weather", '{"city":', '"Zürich"}'), tool_block(2, "time", "{}")
    events = [*text_block(0, "a"), first[0], second[0], *first[1:2], *second[1:2], *first[2:], *second[2:]]

    assert deltas(*events) == [
        {"content": "a"},
        call(0, "", id="toolu_1", name="weather"),
        call(1, "", id="toolu_2", name="time"),
        call(0, '{"city":'),
        call(1, "{}"),
        call(0, '"Zürich"}'),
    ]


@pytest.mark.parametrize(
    ("block", "arguments"),
    [
        (tool_block(0, "now"), ["{}"]),
        (tool_block(0, "now", ""), ["{}"]),
        ([block_start(0, "tool_use", id="toolu_0", name="now", input=None), block_stop(0)], ["{}"]),
        (tool_block(0, "now", city="Bern"), ['{"city": "Bern"}']),
        (tool_block(0, "now", '{"city": "Chur"}', city="Bern"), ['{"city": "Chur"}']),
        (tool_block(0, "now")[:-1], ["{}"]),
    ],
    ids=["no_input", "empty_delta", "null_input", "whole_input", "deltas_replace_input", "no_block_stop"],
)
def test_arguments_of_a_tool_call_are_always_json(block: list[Json], arguments: list[str]) -> None:
    calls = [delta["tool_calls"][0] for delta in deltas(*block)]

    assert [call["function"]["arguments"] for call in calls] == ["", *arguments]


@pytest.mark.parametrize(
    "events",
    [
        tool_block(0, "web_search", '{"query": "x"}', kind="server_tool_use"),
        [block_start(0, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[{"title": "x"}]), block_stop(0)],
        [block_start(0, "redacted_thinking", data="eA=="), block_stop(0)],
        [block_start(0, "a_block_of_the_future", text="x"), block_delta(0, "text_delta", text="x"), block_stop(0)],
        [block_start(0, "text", text=""), block_delta(0, "citations_delta", citation={"cited_text": "x"})],
        [block_delta(0, "a_delta_of_the_future", text="x")],
        [block_delta(0, "input_json_delta", partial_json="x")],
        [{"type": "an_event_of_the_future", "text": "x"}],
        [{"type": "content_block_delta", "delta": "x"}],
        [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": None}}],
    ],
)
def test_drops_what_has_no_counterpart(events: list[Json]) -> None:
    assert deltas(*events) == []


def test_pings_and_comments_become_keep_alives() -> None:
    out = translated(frames(message_start(), PING) + b": one\n: two\n\n" + frame(PING))

    assert out[1:] == [KEEP_ALIVE] * 4


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n', '"overloaded_error"'),
        (b'data: {"error": "broken"}\n\n', '"broken"'),
        (b'event: error\ndata: {"message": "x"}\n\n', "null"),
        (b"event: error\ndata: Internal Server Error\n\n", "not a JSON object"),
        (b'event: content_block_delta\ndata: {"type": "content_bl\n\n', "not a JSON object"),
        (b"data: [1]\n\n", "not a JSON object"),
        (b'data: {"a": "\xff"}\n\n', "not a JSON object"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "not a JSON object"),
        (b"data: " + b"x" * MAX_READ_FRAME_BYTES, "more than 8 MB"),
    ],
    ids=["anthropic", "string", "name", "text", "cut", "list", "utf8", "deep", "long"],
)
def test_raises_at_an_error_after_all_earlier_frames(event: bytes, error: str) -> None:
    frames_out = translator().feed(frames(message_start(), *text_block(0, "a")) + event)

    assert b"assistant" in next(frames_out)
    assert b'"content":"a"' in next(frames_out)
    with pytest.raises(ProviderError, match=error):
        next(frames_out)


def test_an_error_that_is_null_is_ignored() -> None:
    assert deltas(block_delta(0, "text_delta", text="a") | {"error": None}) == [{"content": "a"}]


def test_translates_half_a_surrogate_pair() -> None:
    halves = b'{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "\\ud83d"}}'

    assert b'"content":"\\ud83d"' in translated(b"data: " + halves + b"\n\n")[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
KINDS = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "ping"]
FIELDS = ["message", "content_block", "delta", "usage", "index", "stop_reason", "text", "id", "model", "input_tokens"]
BLOCK_KINDS = ["text", "thinking", "tool_use", "text_delta", "input_json_delta"]
MEMBERS = st.dictionaries(st.sampled_from([*FIELDS, "input", "name", "partial_json"]), JSON, max_size=4)
NESTED = st.builds(lambda members, kind: members | {"type": kind}, MEMBERS, st.sampled_from(BLOCK_KINDS) | JSON)
ODD_EVENTS = st.builds(
    lambda kind, members: members | {"type": kind},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(FIELDS), NESTED | JSON, max_size=4),
)


@BRIEFLY
@given(st.lists(ODD_EVENTS, max_size=5))
def test_accepts_any_json_object(events: list[dict[str, Any]]) -> None:
    assert translated(stream(*events))[-1] == END_MARK
