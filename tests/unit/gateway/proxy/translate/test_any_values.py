"""Replaces any value of a valid request or answer by any JSON value. Expects a GatewayError or a valid Response."""

import json
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.answer_errors import NotACompletion
from gateway.core.errors import InvalidRequest, ProviderError
from gateway.proxy.request_log import RequestLog
from gateway.proxy.responses_answer import whole_response
from gateway.proxy.stream import relay
from gateway.proxy.translate.responses_request import translate_request
from tests.scripted_server import DONE
from tests.unit.gateway.builders import a_request
from tests.unit.gateway.responses import (
    ASK,
    CUSTOM,
    TOOLS,
    USAGE,
    Json,
    frame,
    kinds,
    read_events,
    read_response,
    usage_chunk,
)

VALUES: st.SearchStrategy[Any] = st.sampled_from([None, True, 5, "a", "message", [], {}]) | st.recursive(
    st.sampled_from([None, 5, "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "id", "text"]), inner),
    max_leaves=3,
)
FUNCTION_CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
MESSAGE = {"content": [{"type": "text", "text": "a"}], "refusal": None, "reasoning": "r", "tool_calls": [FUNCTION_CALL]}
OLD_MESSAGE = {"content": "a", "reasoning_content": "r", "function_call": {"name": "patch", "arguments": "{}"}}
REQUEST: Json = ASK | {
    "instructions": "i",
    "input": [
        {"type": "message", "id": "msg_1", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "u", "detail": "low"}]},
        {"type": "function_call", "call_id": "1", "name": "spawn", "namespace": "agents", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "a"}]},
        {"type": "custom_tool_call", "call_id": "2", "name": "patch", "input": "a"},
        {"type": "custom_tool_call_output", "call_id": "2", "output": "a"},
        {"type": "tool_search_call", "call_id": "3", "arguments": {"query": "a"}},
        {"type": "tool_search_output", "call_id": "3", "tools": [CUSTOM | {"name": "other"}]},
        {"type": "additional_tools", "tools": TOOLS},
    ],
    "tools": [*TOOLS, CUSTOM | {"format": {"type": "grammar", "syntax": "lark", "definition": "d"}}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look_up"}]},
    "parallel_tool_calls": False,
    "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {}}},
    "reasoning": {"effort": "low"},
    "max_output_tokens": 5,
    "stream": True,
}

type Path = tuple[str | int, ...]


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*path, key)
        yield from paths(member, (*path, key))


@st.composite
def changed(draw: st.DrawFn, *originals: Json) -> Json:
    """One of the objects, with one value replaced."""
    content: Any = deepcopy(draw(st.sampled_from(originals)))
    *parents, last = draw(st.sampled_from(list(paths(content))))
    place = content
    for key in parents:
        place = place[key]
    place[last] = draw(VALUES)
    return dict(content)


def translated_log() -> RequestLog:
    log = RequestLog(a_request(path="/responses"))
    log.set_translation(translate_request(ASK | {"tools": [CUSTOM]}))
    return log


def answers(name: str) -> st.SearchStrategy[Json]:
    """Chunks or completions, whose messages have this name."""
    details = {"prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 1}}
    choices = {name: MESSAGE, "finish_reason": "stop"}, {name: OLD_MESSAGE, "finish_reason": "length"}
    return changed(*({"model": "served", "usage": USAGE | details, "choices": [choice]} for choice in choices))


@settings(max_examples=200, deadline=None)
@given(changed(REQUEST))
def test_a_request_is_translated_or_invalid(body: Json) -> None:
    with suppress(InvalidRequest):
        assert json.dumps(translate_request(body).chat)


@settings(max_examples=150, deadline=None)
@given(answers("delta"), st.booleans())
def test_a_stream_ends_with_its_last_event(chunk: Json, in_two_lines: bool) -> None:
    log = translated_log()
    first = frame({"choices": [{"index": 0, "delta": {"content": "First"}}]})
    second = frame(chunk).replace(b"data: ", b"id: 1\ndata: ") if in_two_lines else frame(chunk)

    events = read_events(b"".join(relay([first + second, usage_chunk(), DONE], log)))

    assert [kind for kind in kinds(events) if kind in ("completed", "incomplete", "failed")] == kinds(events)[-1:]
    assert log.stream_end == ("error" if kinds(events)[-1] == "failed" else "done")


@settings(max_examples=150, deadline=None)
@given(answers("message"))
def test_a_whole_answer_is_a_response_or_an_error(completion: Json) -> None:
    log = translated_log()
    with suppress(NotACompletion, ProviderError):
        response = read_response(whole_response(json.dumps(completion).encode(), log))
        assert response["status"] in ("completed", "incomplete")
