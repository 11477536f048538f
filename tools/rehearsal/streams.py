"""The streams that providers send and TokenHub forwards: OpenAI chunks and Anthropic events. No I/O."""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Echo:
    """The text of the echoing model. `truncated` means that `max_tokens` ended it."""

    model: str
    tokens: tuple[str, ...]
    truncated: bool
    prompt_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def finish_reason(self) -> str:
        return "length" if self.truncated else "stop"

    @property
    def openai_usage(self) -> dict[str, int]:
        total = self.prompt_tokens + len(self.tokens)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": len(self.tokens),
            "total_tokens": total,
        }


@dataclass(frozen=True)
class Stream:
    """Complete frames. The first `leading` come before the first token, the last `trailing` finish the stream."""

    frames: tuple[bytes, ...]
    leading: int
    trailing: int


def frame(data: str, event: str | None = None) -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data}\n\n".encode("utf-8", "replace")


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def openai_stream(echo: Echo, choices: int = 1, *, with_usage: bool = False) -> Stream:
    deltas = [{"content": token} for token in echo.tokens]
    return openai_chunks(echo, deltas, choices, echo.finish_reason, with_usage=with_usage)


def openai_chunks(
    echo: Echo,
    deltas: list[dict[str, Any]],
    choices: int,
    finish_reason: str,
    *,
    with_usage: bool = False,
) -> Stream:
    """Builds OpenAI's chunks: for each choice a role, the deltas and a finish_reason; then `[DONE]`."""
    shared: dict[str, Any] = {"id": f"chatcmpl-{secrets.token_hex(8)}", "object": "chat.completion.chunk"}
    shared |= {"created": int(time.time()), "model": echo.model}

    def chunks(delta: dict[str, Any], reason: str | None = None) -> list[bytes]:
        rows = [{"index": index, "delta": delta, "finish_reason": reason} for index in range(choices)]
        return [frame(compact(shared | {"choices": [row]})) for row in rows]

    leading = chunks({"role": "assistant", "content": ""})
    body = [chunk for delta in deltas for chunk in chunks(delta)]
    trailing = chunks({}, finish_reason)
    if with_usage:
        trailing.append(frame(compact(shared | {"choices": [], "usage": echo.openai_usage})))
    trailing.append(frame("[DONE]"))
    return Stream((*leading, *body, *trailing), len(leading), len(trailing))


def anthropic_message(echo: Echo) -> dict[str, Any]:
    return {
        "id": f"msg_{secrets.token_hex(8)}",
        "type": "message",
        "role": "assistant",
        "model": echo.model,
        "content": [{"type": "text", "text": echo.text}],
        "stop_reason": "max_tokens" if echo.truncated else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": echo.prompt_tokens, "output_tokens": len(echo.tokens)},
    }


def anthropic_stream(echo: Echo) -> Stream:
    message = anthropic_message(echo)
    usage = message["usage"]
    start = message | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
    leading: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ]
    body = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": token}}
        for token in echo.tokens
    ]
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    trailing: list[dict[str, Any]] = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": len(echo.tokens)}},
        {"type": "message_stop"},
    ]
    frames = tuple(frame(compact(event), event["type"]) for event in (*leading, *body, *trailing))
    return Stream(frames, len(leading), len(trailing))


def error_frame(*, anthropic: bool) -> bytes:
    """An error that a provider sends inside a stream."""
    if anthropic:
        overloaded = {"type": "overloaded_error", "message": "Overloaded"}
        return frame(compact({"type": "error", "error": overloaded}), "error")
    error = {"message": "The server had an error while processing your request.", "type": "server_error"}
    return frame(compact({"error": error | {"param": None, "code": None}}))
