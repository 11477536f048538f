"""The streams that providers send and TokenHub hands on: OpenAI chunks and Anthropic events. Pure."""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spoken:
    """What the echoing model says; `cut` when `max_tokens` ended it."""

    model: str
    tokens: tuple[str, ...]
    cut: bool
    prompt_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def finish_reason(self) -> str:
        return "length" if self.cut else "stop"

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
    """Whole frames; `opening` of them come before the first token, the last `ending` finish the stream."""

    frames: tuple[bytes, ...]
    opening: int
    ending: int


def frame(data: str, event: str | None = None) -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data}\n\n".encode("utf-8", "replace")


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def openai(spoken: Spoken, choices: int = 1, *, with_usage: bool = False) -> Stream:
    deltas = [{"content": token} for token in spoken.tokens]
    return openai_deltas(spoken, deltas, choices, spoken.finish_reason, with_usage=with_usage)


def openai_deltas(
    spoken: Spoken,
    deltas: list[dict[str, Any]],
    choices: int,
    finish_reason: str,
    *,
    with_usage: bool = False,
) -> Stream:
    """Chunks as OpenAI sends them: a role, the deltas, a finish_reason (for each choice), `[DONE]`."""
    shared: dict[str, Any] = {"id": f"chatcmpl-{secrets.token_hex(8)}", "object": "chat.completion.chunk"}
    shared |= {"created": int(time.time()), "model": spoken.model}

    def chunks(delta: dict[str, Any], reason: str | None = None) -> list[bytes]:
        rows = [{"index": index, "delta": delta, "finish_reason": reason} for index in range(choices)]
        return [frame(compact(shared | {"choices": [row]})) for row in rows]

    opening = chunks({"role": "assistant", "content": ""})
    body = [piece for delta in deltas for piece in chunks(delta)]
    ending = chunks({}, finish_reason)
    if with_usage:
        ending.append(frame(compact(shared | {"choices": [], "usage": spoken.openai_usage})))
    ending.append(frame("[DONE]"))
    return Stream((*opening, *body, *ending), len(opening), len(ending))


def anthropic_message(spoken: Spoken) -> dict[str, Any]:
    return {
        "id": f"msg_{secrets.token_hex(8)}",
        "type": "message",
        "role": "assistant",
        "model": spoken.model,
        "content": [{"type": "text", "text": spoken.text}],
        "stop_reason": "max_tokens" if spoken.cut else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": spoken.prompt_tokens, "output_tokens": len(spoken.tokens)},
    }


def anthropic(spoken: Spoken) -> Stream:
    whole = anthropic_message(spoken)
    usage = whole["usage"]
    start = whole | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
    opening: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ]
    body = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": token}}
        for token in spoken.tokens
    ]
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    ending: list[dict[str, Any]] = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": len(spoken.tokens)}},
        {"type": "message_stop"},
    ]
    frames = tuple(frame(compact(event), event["type"]) for event in (*opening, *body, *ending))
    return Stream(frames, len(opening), len(ending))
