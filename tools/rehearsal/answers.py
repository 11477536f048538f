"""What TokenHub answers when all is well, and how each of its routes words an error.

Pure: a `Call` goes in, an `Answer` comes out, and `tools.rehearsal.server` puts it on the wire. Texts, key order and
content types are those of TokenHub's Go source (named where they surprise).
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.rehearsal.call import Answer, Call, Json, as_dict
from tools.rehearsal.streams import Stream, anthropic, anthropic_message, openai

MODELS = {
    "echo": "rehearsal",
    "gpt-4o": "openai",
    "gpt-4o-mini": "openai",
    "claude-sonnet-4-6": "anthropic",
    "anthropic/claude-sonnet-4-20250514": "anthropic",
    "text-embedding-3-small": "openai",
}
ALIASES = {"fast": "gpt-4o-mini"}
REHEARSE_PREFIX = "rehearse/"
BODY_LIMIT = 10 * 1024 * 1024

type Fail = Callable[[int, str], Answer]


def go_json(value: object) -> bytes:
    """JSON as Go's encoder writes it: compact, HTML characters escaped, a newline at the end."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "&<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace") + b"\n"


def json_answer(status: int, value: object, **headers: str) -> Answer:
    return Answer(status, {"Content-Type": "application/json", **headers}, (go_json(value),))


def plain_error(status: int, text: str, **headers: str) -> Answer:
    """What Go's http.Error writes."""
    fixed = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Answer(status, fixed | headers, (f"{text}\n".encode(),))


def openai_error(status: int, message: str) -> Answer:
    kind = "invalid_request_error" if status == 400 else "server_error"
    return json_answer(status, {"error": {"message": message, "type": kind, "code": None}})


def anthropic_error(status: int, message: str) -> Answer:
    kind = "invalid_request_error" if status == 400 else "server_error"
    return json_answer(status, {"error": {"message": message, "type": kind}, "type": "error"})


def string_error(status: int, message: str) -> Answer:
    return json_answer(status, {"error": message})


def model_headers(call: Call) -> dict[str, str]:
    return {"X-Negotiated-Model": call.model} | ({"X-Alias-From": call.alias} if call.alias else {})


def stream_answer(call: Call, stream: Stream) -> Answer:
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Connection": "keep-alive"}
    return Answer(200, headers | model_headers(call), stream.frames, 0.0, stream.opening, stream.ending)


def healthz(adapters: int, models: int) -> Answer:
    """TokenHub sets no content type here, so Go sniffs text/plain."""
    status = "ok" if adapters and models else "unhealthy"
    body = go_json({"adapters": adapters, "models": models, "status": status})
    return Answer(200 if status == "ok" else 503, {"Content-Type": "text/plain; charset=utf-8"}, (body,))


def models(known: dict[str, str]) -> Answer:
    """The public list; a nil slice in Go is `null`, not `[]`."""
    data = [{"id": name, "object": "model", "owned_by": owner} for name, owner in known.items()]
    return json_answer(200, {"data": data or None, "object": "list"})


def completion_choices(call: Call) -> list[Json]:
    message = {"role": "assistant", "content": call.spoken.text}
    reason = call.spoken.finish_reason
    return [{"index": index, "message": message, "finish_reason": reason} for index in range(call.choices)]


def completion(call: Call, choices: list[Json], usage: Json | None) -> Answer:
    """TokenHub's own wrapping of a provider's choices; it leaves `usage` out when the provider sent none."""
    body: Json = {"id": f"chatcmpl-{call.request_id}", "object": "chat.completion", "created": int(time.time())}
    body |= {"model": call.model, "choices": choices} | ({"usage": usage} if usage else {})
    return json_answer(200, body, **model_headers(call))


def chat_completions(call: Call) -> Answer:
    if call.json_error:
        return openai_error(400, f"invalid JSON: {call.json_error}")
    if not call.messages:
        return openai_error(400, "messages is required")
    if call.streams:
        return stream_answer(call, openai(call.spoken, call.choices))
    return completion(call, completion_choices(call), call.spoken.openai_usage)


def messages(call: Call) -> Answer:
    if call.json_error:
        return anthropic_error(400, f"invalid JSON: {call.json_error}")
    if call.streams:
        return stream_answer(call, anthropic(call.spoken))
    return json_answer(200, anthropic_message(call.spoken), **model_headers(call))


def embeddings(call: Call) -> Answer:
    if call.json_error or not call.payload.get("model"):
        return string_error(400, "model is required")
    found = call.payload.get("input")
    texts = [str(text) for text in found] if isinstance(found, list) else [str(found)]
    vectors = [[byte / 255 for byte in hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8]] for text in texts]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    tokens = sum(len(text.split()) for text in texts)
    body: Json = {"object": "list", "data": data, "model": call.model}
    body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_answer(200, body, **model_headers(call))


def chat(call: Call) -> Answer:
    """TokenHub's own route. It sets no content type for JSON, so Go sniffs text/plain."""
    if call.streams and call.messages:
        wants_usage = as_dict(call.parameters.get("stream_options")).get("include_usage") is True
        return stream_answer(call, openai(call.spoken, call.choices, with_usage=wants_usage))
    answer = plan(call)
    if answer.status != 200:
        return answer
    return Answer(200, {"Content-Type": "text/plain; charset=utf-8"}, answer.pieces)


def plan(call: Call) -> Answer:
    if call.json_error:
        return string_error(400, "bad json")
    if not call.messages:
        return string_error(400, "messages required")
    response: Json = {"id": "chatcmpl-provider", "object": "chat.completion", "created": int(time.time())}
    response |= {"model": call.model, "choices": completion_choices(call), "usage": call.spoken.openai_usage}
    body = {"negotiated_model": call.model, "estimated_cost_usd": 0.0001, "routing_reason": "rehearsal"}
    return json_answer(200, body | {"response": response})


@dataclass(frozen=True)
class Route:
    method: str
    answer: Callable[[Call], Answer]
    fail: Fail = string_error
    public: bool = False


ROUTES = {
    "/healthz": Route("GET", lambda _: healthz(len(set(MODELS.values())), len(MODELS)), public=True),
    "/v1/models": Route("GET", lambda _: models(MODELS), public=True),
    "/v1/chat/completions": Route("POST", chat_completions, openai_error),
    "/v1/chat": Route("POST", chat),
    "/v1/messages": Route("POST", messages, anthropic_error),
    "/v1/embeddings": Route("POST", embeddings),
    "/v1/plan": Route("POST", plan),
}


def served_model(asked: str, path: str) -> tuple[str, str | None]:
    """(model that serves, alias it came by). An unknown name is only a hint to TokenHub: another model answers."""
    if asked in MODELS or asked.startswith(REHEARSE_PREFIX):
        return asked, None
    default = "claude-sonnet-4-6" if path == "/v1/messages" else "echo"
    if asked == "*" or asked in ALIASES:
        return ALIASES.get(asked, default), asked
    return default, None


def normal(call: Call) -> Answer:
    return ROUTES[call.path].answer(call)


def fail(call: Call, status: int, message: str) -> Answer:
    return ROUTES[call.path].fail(status, message)
