"""The modes in which a model of an Anthropic provider answers a stream. TokenHub forwards its events unchanged."""

from typing import Any

from tools.rehearsal.request import Request
from tools.rehearsal.response import ScriptedResponse
from tools.rehearsal.routes import normal_response, stream_response
from tools.rehearsal.streams import Stream, anthropic_stream, compact, frame

type Event = dict[str, Any]


def tools(request: Request) -> ScriptedResponse:
    """Thinking, the echoed text and two parallel tool calls whose arguments arrive in fragments."""
    if not request.wants_stream:
        return normal_response(request)
    whole = anthropic_stream(request.echo)
    text = [_delta(1, "text_delta", text=token) for token in request.echo.tokens]
    blocks = [*_thinking(0), _start(1, "text", text=""), *text, _stop(1), *_tool_calls(2, 3)]
    usage = {"output_tokens": len(request.echo.tokens)}
    end: list[Event] = [
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    frames = (whole.frames[0], *map(_frame, blocks), *map(_frame, end))
    return stream_response(request, Stream(frames, leading=1, trailing=len(end)))


def error(request: Request) -> ScriptedResponse:
    """An error event after the first tokens, and then a clean end of the body."""
    if not request.wants_stream:
        return normal_response(request)
    whole = anthropic_stream(request.echo)
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    frames = (*whole.frames[: whole.leading + 1], _frame(overloaded))
    return stream_response(request, Stream(frames, whole.leading, trailing=1))


def _thinking(index: int) -> list[Event]:
    return [
        _start(index, "thinking", thinking="", signature=""),
        _delta(index, "thinking_delta", thinking="The user asks for the weather."),
        _delta(index, "signature_delta", signature="c2lnbmF0dXJl"),
        _stop(index),
    ]


def _tool_calls(*indexes: int) -> list[Event]:
    starts = [_start(index, "tool_use", id=f"toolu_{index}", name="get_weather", input={}) for index in indexes]
    parts = ("", '{"city":', '"Zürich"}')
    deltas = [_delta(index, "input_json_delta", partial_json=part) for part in parts for index in indexes]
    return [*starts, *deltas, *map(_stop, indexes)]


def _start(index: int, kind: str, **fields: object) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def _delta(index: int, kind: str, **fields: object) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def _stop(index: int) -> Event:
    return {"type": "content_block_stop", "index": index}


def _frame(event: Event) -> bytes:
    return frame(compact(event), event["type"])
