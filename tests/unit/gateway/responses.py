"""Streams of chat chunks, and their translations to Responses events, checked by the types of the OpenAI SDK."""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from gateway.core.errors import ProviderError
from gateway.proxy.sse import KEEP_ALIVE
from gateway.proxy.translate.responses_events import ResponseBuilder
from gateway.proxy.translate.responses_request import translate_request
from tests.scripted_server import DONE

type Json = dict[str, Any]

ASK: Json = {"model": "gpt", "input": "Hello"}
FUNCTION: Json = {"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}}
CUSTOM: Json = {"type": "custom", "name": "patch", "description": "Changes a file."}
NAMESPACE: Json = {"type": "namespace", "name": "agents", "description": "", "tools": [FUNCTION | {"name": "spawn"}]}
SEARCH: Json = {
    "type": "tool_search",
    "execution": "client",
    "description": "Finds tools.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}
TOOLS = [FUNCTION, CUSTOM, NAMESPACE, SEARCH]
USAGE: Json = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def chunk(delta: Json, finish_reason: str | None = None, **fields: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    content: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served"}
    return frame(content | {"choices": [choice]} | fields)


def usage_chunk(usage: Json = USAGE) -> bytes:
    return frame({"id": "chatcmpl-1", "model": "served", "choices": [], "usage": usage})


def frame(content: Json) -> bytes:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode()


def call(index: int, arguments: str = "", **fields: object) -> Json:
    """Returns the delta of a tool call. The first delta of a call has an `id` and a `name`."""
    function = {"arguments": arguments} | ({"name": fields.pop("name")} if "name" in fields else {})
    return {"tool_calls": [{"index": index, "function": function, **fields}]}


def stream(*chunks: bytes, finish_reason: str = "stop") -> bytes:
    return b"".join([*chunks, chunk({}, finish_reason), usage_chunk(), DONE])


def stream_error(error: object) -> ProviderError:
    return ProviderError(502, f"The stream reports {error}", code="provider_stream_error", retryable=True)


def builder(**request: object) -> ResponseBuilder:
    translated = translate_request(ASK | {"tools": TOOLS} | request)
    return ResponseBuilder(translated, suffix="1", created_at=7, stream_error=stream_error)


def translate(*pieces: bytes) -> list[Json]:
    """Returns the events of a complete stream that arrives in these pieces."""
    response = builder()
    events = [event for piece in pieces for event in response.feed(piece)]
    return read_events(b"".join([*events, response.end()]))


def read_events(received: bytes) -> list[Json]:
    """Returns the events. Asserts that each one is valid, has its name and its number."""
    frames = received.replace(KEEP_ALIVE, b"").decode().removesuffix("\n\n").split("\n\n")
    events = []
    for number, frame_ in enumerate(frames):
        name, data = frame_.split("\n")
        event = json.loads(data.removeprefix("data: "))
        event_types().validate_python(event, strict=True)
        assert (name, event["sequence_number"]) == (f"event: {event['type']}", number)
        events.append(event)
    return events


@cache
def event_types() -> TypeAdapter[Any]:
    # Importing the types takes two seconds, so only the workers that run such tests import them.
    from openai.types.responses import ResponseStreamEvent

    return TypeAdapter(ResponseStreamEvent)


def read_response(body: bytes) -> Json:
    """Returns a Response. Asserts that the OpenAI SDK's type accepts it."""
    from openai.types.responses import Response

    Response.model_validate_json(body, strict=True)
    return dict(json.loads(body))


def kinds(events: Iterable[Json]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]
