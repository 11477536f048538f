"""A provider whose model calls tools. When the request has their results, it answers with the results as text.

Like TokenHub, it has no `/v1/responses`.
"""

import json
from typing import Any

from tests.scripted_server import JSON, Pieces, Request, answer, response
from tools.rehearsal.streams import compact, frame

type Json = dict[str, Any]
type Calls = list[tuple[str, Json]]

WEATHER: Calls = [("get_weather", {"city": "Zürich"}), ("get_weather", {"city": "Genève"})]
# On /v1/chat/completions TokenHub streams Anthropic's events for a model of this name.
CLAUDE = "claude"


class ToolProvider:
    """A script for `ScriptedServer`. A test may replace `calls`, or set `turns`, the calls of each turn."""

    def __init__(self) -> None:
        self.calls = WEATHER
        self.turns: list[Calls] = []

    def __call__(self, request: Request) -> Pieces:
        if request.target == "/v1/responses":
            return (answer(404, b"404 page not found\n", "text/plain"),)
        body = request.json()
        results = [text for message in body["messages"] for text in tool_results(message)]
        calls = self._calls(results)
        is_messages = request.target.partition("?")[0] == "/v1/messages"
        if body.get("stream"):
            is_anthropic = is_messages or body["model"] == CLAUDE
            frames = (anthropic_frames if is_anthropic else openai_frames)(results, calls)
            return response(tuple(frames))
        message = (anthropic_message if is_messages else openai_completion)(results, calls)
        return response((json.dumps(message).encode(),), headers=JSON)

    def _calls(self, results: list[str]) -> Calls:
        if self.turns:
            return self.turns[len(results)] if len(results) < len(self.turns) else []
        return [] if results else self.calls


def tool_results(message: Json) -> list[str]:
    if message["role"] == "tool":
        return [str(message["content"])]
    blocks = message["content"] if isinstance(message["content"], list) else []
    contents = [block["content"] for block in blocks if block["type"] == "tool_result"]
    return [content if isinstance(content, str) else content[0]["text"] for content in contents]


def openai_completion(texts: list[str], calls: Calls) -> Json:
    message: Json = {"role": "assistant", "content": "; ".join(texts) or None}
    if calls:
        message["tool_calls"] = _openai_calls(calls)
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def openai_frames(texts: list[str], calls: Calls) -> list[bytes]:
    """Sends the arguments of each call in two pieces."""
    deltas: list[Json] = [{"role": "assistant", "content": "; ".join(texts)}]
    for index, call in enumerate(_openai_calls(calls)):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        deltas.append({"tool_calls": [call | {"index": index, "function": {"name": name, "arguments": ""}}]})
        parts = (arguments[:5], arguments[5:])
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in parts]
    reason = "tool_calls" if calls else "stop"
    return [*(_chunk(delta) for delta in deltas), _chunk({}, reason), frame("[DONE]")]


def anthropic_message(texts: list[str], calls: Calls) -> Json:
    content: list[Json] = [{"type": "text", "text": "; ".join(texts)}] if texts else []
    content += [_tool_use(index, name, arguments) for index, (name, arguments) in enumerate(calls)]
    stop = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    usage = {"input_tokens": 9, "output_tokens": 9}
    return {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": content, "usage": usage} | stop


def anthropic_frames(texts: list[str], calls: Calls) -> list[bytes]:
    """Sends one block after the other, like Anthropic, and the arguments of each call in two pieces."""
    message = anthropic_message(texts, calls)
    start = message | {"content": [], "stop_reason": None}
    events: list[Json] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(message["content"]):
        events += [{"type": "content_block_start", "index": index, "content_block": _empty(block)}]
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in _deltas(block)]
        events += [{"type": "content_block_stop", "index": index}]
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events += [{"type": "message_delta", "delta": stop, "usage": {"output_tokens": 9}}, {"type": "message_stop"}]
    return [frame(compact(event), event["type"]) for event in events]


def _openai_calls(calls: Calls) -> list[Json]:
    functions = [{"name": name, "arguments": compact(arguments)} for name, arguments in calls]
    return [{"id": f"call_{index}", "type": "function", "function": each} for index, each in enumerate(functions)]


def _chunk(delta: Json, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    shared = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return frame(compact(shared | {"choices": [choice]}))


def _tool_use(index: int, name: str, arguments: Json) -> Json:
    return {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": arguments}


def _empty(block: Json) -> Json:
    return block | {"text": ""} if block["type"] == "text" else block | {"input": {}}


def _deltas(block: Json) -> list[Json]:
    if block["type"] == "text":
        return [{"type": "text_delta", "text": block["text"]}]
    arguments = compact(block["input"])
    return [{"type": "input_json_delta", "partial_json": part} for part in (arguments[:5], arguments[5:])]
