"""Streams of Anthropic Messages events, as an Anthropic provider behind TokenHub sends them."""

import json
from typing import Any

type Json = dict[str, Any]

USAGE: Json = {"input_tokens": 3, "output_tokens": 1}


def frame(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def frames(*events: Json) -> bytes:
    return b"".join(map(frame, events))


def message_start(usage: Json = USAGE) -> Json:
    message: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}
    return {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None, "usage": usage}}


def block_start(index: int, kind: str, **fields: object) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def block_delta(index: int, kind: str, **fields: object) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def block_stop(index: int) -> Json:
    return {"type": "content_block_stop", "index": index}


def message_delta(stop_reason: str | None, **usage: int) -> Json:
    return {"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": None}, "usage": usage}


MESSAGE_STOP: Json = {"type": "message_stop"}
PING: Json = {"type": "ping"}


def text_block(index: int, *pieces: str) -> list[Json]:
    deltas = [block_delta(index, "text_delta", text=piece) for piece in pieces]
    return [block_start(index, "text", text=""), *deltas, block_stop(index)]


def thinking_block(index: int, *pieces: str) -> list[Json]:
    deltas = [block_delta(index, "thinking_delta", thinking=piece) for piece in pieces]
    signature = block_delta(index, "signature_delta", signature="c2lnbmF0dXJl")
    return [block_start(index, "thinking", thinking="", signature=""), *deltas, signature, block_stop(index)]


def tool_block(index: int, name: str, *pieces: str, kind: str = "tool_use", **start_input: object) -> list[Json]:
    start = block_start(index, kind, id=f"toolu_{index}", name=name, input=start_input)
    deltas = [block_delta(index, "input_json_delta", partial_json=piece) for piece in pieces]
    return [start, *deltas, block_stop(index)]


def stream(*events: Json, stop_reason: str = "end_turn") -> bytes:
    """Returns a whole stream with these events between its start and its end."""
    return frames(message_start(), *events, message_delta(stop_reason, output_tokens=5), MESSAGE_STOP)
