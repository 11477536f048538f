import json
from typing import Any

import pytest

from gateway.proxy.completion_facts import MAX_FINISH_REASONS, finish_reasons, response_id
from gateway.proxy.sse import StreamWatcher

OPENAI: list[dict[str, Any]] = [
    {"id": "", "model": "", "choices": [], "prompt_filter_results": []},
    {"id": "chatcmpl-1", "model": "gpt", "choices": [{"index": 0, "delta": {"content": "a"}}]},
    {"id": "chatcmpl-2", "model": "gpt", "choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]},
    {"id": "chatcmpl-2", "model": "gpt", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
ANTHROPIC: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "claude", "stop_reason": None}},
    {"type": "content_block_start", "content_block": {"type": "tool_use", "id": "toolu_1"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
RESPONSES: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "resp_1", "model": "gpt", "status": "in_progress"}},
    {"type": "response.output_item.added", "item": {"id": "item_1"}},
    {"type": "response.completed", "response": {"id": "resp_1", "model": "gpt", "status": "completed"}},
]


def watched(events: list[dict[str, Any]]) -> StreamWatcher:
    watcher = StreamWatcher(choices=2)
    for event in events:
        watcher.feed(f"data: {json.dumps(event)}\n\n".encode())
    return watcher


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"id": "chatcmpl-1"}, "chatcmpl-1"),
        ({"id": ""}, None),
        ({"id": 7}, None),
        ({"id": {"a": "b"}}, None),
        ({}, None),
    ],
)
def test_reads_the_id_of_an_answer(content: dict[str, Any], expected: str | None) -> None:
    assert response_id(content) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"choices": [{"finish_reason": "stop"}, {"finish_reason": "tool_calls"}]}, ("stop", "tool_calls")),
        ({"choices": [{"finish_reason": None}, {}, "no choice", {"finish_reason": ["stop"]}]}, ()),
        ({"stop_reason": "end_turn"}, ("end_turn",)),
        ({"stop_reason": None}, ()),
        ({"choices": 7}, ()),
        ({}, ()),
    ],
)
def test_reads_the_finish_reasons_of_an_answer(content: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert finish_reasons(content) == expected


@pytest.mark.parametrize("reason", ["a part of the answer", "s" * 65, "stop\n", "", "größe"])
def test_drops_a_finish_reason_that_may_be_a_part_of_the_answer(reason: str) -> None:
    assert finish_reasons({"choices": [{"finish_reason": reason}]}) == ()


def test_limits_the_number_of_finish_reasons() -> None:
    many = [{"finish_reason": "stop"}] * (MAX_FINISH_REASONS + 1)
    assert len(finish_reasons({"choices": many})) == MAX_FINISH_REASONS


@pytest.mark.parametrize(
    ("events", "completion_id", "reasons"),
    [(OPENAI, "chatcmpl-1", ("stop", "length")), (ANTHROPIC, "msg_1", ("tool_use",)), (RESPONSES, "resp_1", ())],
    ids=["openai", "anthropic", "responses"],
)
def test_reads_id_and_finish_reasons_of_a_stream(
    events: list[dict[str, Any]], completion_id: str, reasons: tuple[str, ...]
) -> None:
    watcher = watched(events)
    assert (watcher.completion_id, watcher.finish_reasons) == (completion_id, reasons)


def test_a_stop_reason_alone_does_not_make_a_stream_whole() -> None:
    assert not watched(ANTHROPIC[:-1]).whole_at_end()
