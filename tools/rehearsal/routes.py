"""TokenHub's routes: the normal response of each one, and the shape of its errors.

Each route maps a `Request` to a `ScriptedResponse` without I/O; `tools.rehearsal.server` sends it. Texts, key order
and content types are those of TokenHub's Go source.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.rehearsal.request import Json, Request, dict_or_empty
from tools.rehearsal.response import ScriptedResponse
from tools.rehearsal.streams import Stream, anthropic_message, anthropic_stream, openai_stream

# Model → provider.
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
ANTHROPIC_PREFIX = "anthropic/"
MAX_BODY_BYTES = 10 * 1024 * 1024

type ErrorResponder = Callable[[int, str], ScriptedResponse]


def go_json(value: object) -> bytes:
    """Encodes JSON like Go's encoder: compact, HTML characters escaped, a newline at the end."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "&<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace") + b"\n"


def json_response(status: int, value: object, **headers: str) -> ScriptedResponse:
    return ScriptedResponse(status, {"Content-Type": "application/json", **headers}, (go_json(value),))


def plain_error(status: int, text: str, **headers: str) -> ScriptedResponse:
    """The response of Go's http.Error."""
    fixed = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return ScriptedResponse(status, fixed | headers, (f"{text}\n".encode(),))


def openai_error(status: int, message: str) -> ScriptedResponse:
    error_type = "invalid_request_error" if status == 400 else "server_error"
    return json_response(status, {"error": {"message": message, "type": error_type, "code": None}})


def anthropic_error(status: int, message: str) -> ScriptedResponse:
    error_type = "invalid_request_error" if status == 400 else "server_error"
    return json_response(status, {"error": {"message": message, "type": error_type}, "type": "error"})


def string_error(status: int, message: str) -> ScriptedResponse:
    return json_response(status, {"error": message})


def model_headers(request: Request) -> dict[str, str]:
    return {"X-Negotiated-Model": request.model} | ({"X-Alias-From": request.alias} if request.alias else {})


def stream_response(request: Request, stream: Stream) -> ScriptedResponse:
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Connection": "keep-alive"}
    headers |= model_headers(request)
    return ScriptedResponse(200, headers, stream.frames, leading=stream.leading, trailing=stream.trailing)


def healthz(adapters: int, models: int) -> ScriptedResponse:
    """TokenHub sets no content type here, so Go detects text/plain."""
    status = "ok" if adapters and models else "unhealthy"
    body = go_json({"adapters": adapters, "models": models, "status": status})
    return ScriptedResponse(200 if status == "ok" else 503, {"Content-Type": "text/plain; charset=utf-8"}, (body,))


def model_list(models: dict[str, str]) -> ScriptedResponse:
    """The public list. A nil slice in Go encodes as `null`, not `[]`."""
    data = [{"id": name, "object": "model", "owned_by": owner} for name, owner in models.items()]
    return json_response(200, {"data": data or None, "object": "list"})


def completion_choices(request: Request) -> list[Json]:
    message = {"role": "assistant", "content": request.echo.text}
    reason = request.echo.finish_reason
    return [{"index": index, "message": message, "finish_reason": reason} for index in range(request.choice_count)]


def completion(request: Request, choices: list[Json], usage: Json | None) -> ScriptedResponse:
    """TokenHub's own wrapping of a provider's choices. It omits `usage` when the provider sent none."""
    body: Json = {"id": f"chatcmpl-{request.request_id}", "object": "chat.completion", "created": int(time.time())}
    body |= {"model": request.model, "choices": choices} | ({"usage": usage} if usage else {})
    return json_response(200, body, **model_headers(request))


def chat_completions(request: Request) -> ScriptedResponse:
    if request.json_error:
        return openai_error(400, f"invalid JSON: {request.json_error}")
    if not request.messages:
        return openai_error(400, "messages is required")
    if request.wants_stream and request.model.startswith(ANTHROPIC_PREFIX):
        # TokenHub translates only answers that are not streams.
        return stream_response(request, anthropic_stream(request.echo))
    if request.wants_stream:
        return stream_response(request, openai_stream(request.echo, request.choice_count))
    return completion(request, completion_choices(request), request.echo.openai_usage)


def messages(request: Request) -> ScriptedResponse:
    if request.json_error:
        return anthropic_error(400, f"invalid JSON: {request.json_error}")
    if request.wants_stream:
        return stream_response(request, anthropic_stream(request.echo))
    return json_response(200, anthropic_message(request.echo), **model_headers(request))


def embeddings(request: Request) -> ScriptedResponse:
    if request.json_error or not request.payload.get("model"):
        return string_error(400, "model is required")
    value = request.payload.get("input")
    texts = [str(text) for text in value] if isinstance(value, list) else [str(value)]
    vectors = [[byte / 255 for byte in hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8]] for text in texts]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    tokens = sum(len(text.split()) for text in texts)
    body: Json = {"object": "list", "data": data, "model": request.model}
    body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_response(200, body, **model_headers(request))


def chat(request: Request) -> ScriptedResponse:
    """TokenHub's own chat route. It sets no content type for JSON, so Go detects text/plain."""
    if request.wants_stream and request.messages:
        with_usage = dict_or_empty(request.parameters.get("stream_options")).get("include_usage") is True
        return stream_response(request, openai_stream(request.echo, request.choice_count, with_usage=with_usage))
    response = plan(request)
    if response.status != 200:
        return response
    return ScriptedResponse(200, {"Content-Type": "text/plain; charset=utf-8"}, response.steps)


def plan(request: Request) -> ScriptedResponse:
    if request.json_error:
        return string_error(400, "bad json")
    if not request.messages:
        return string_error(400, "messages required")
    response: Json = {"id": "chatcmpl-provider", "object": "chat.completion", "created": int(time.time())}
    response |= {"model": request.model, "choices": completion_choices(request), "usage": request.echo.openai_usage}
    body = {"negotiated_model": request.model, "estimated_cost_usd": 0.0001, "routing_reason": "rehearsal"}
    return json_response(200, body | {"response": response})


@dataclass(frozen=True)
class Route:
    """A route's method, its normal response, its errors, and whether it needs no key."""

    method: str
    respond: Callable[[Request], ScriptedResponse]
    error: ErrorResponder = string_error
    public: bool = False


ROUTES = {
    "/healthz": Route("GET", lambda _: healthz(len(set(MODELS.values())), len(MODELS)), public=True),
    "/v1/models": Route("GET", lambda _: model_list(MODELS), public=True),
    "/v1/chat/completions": Route("POST", chat_completions, openai_error),
    "/v1/chat": Route("POST", chat),
    "/v1/messages": Route("POST", messages, anthropic_error),
    "/v1/embeddings": Route("POST", embeddings),
    "/v1/plan": Route("POST", plan),
}


def serving_model(requested: str, path: str) -> tuple[str, str | None]:
    """Returns the model that serves and the alias that selected it. TokenHub replaces an unknown model by another."""
    if requested in MODELS or requested.startswith(REHEARSE_PREFIX):
        return requested, None
    default = "claude-sonnet-4-6" if path == "/v1/messages" else "echo"
    if requested == "*" or requested in ALIASES:
        return ALIASES.get(requested, default), requested
    return default, None


def normal_response(request: Request) -> ScriptedResponse:
    return ROUTES[request.path].respond(request)


def error_response(request: Request, status: int, message: str) -> ScriptedResponse:
    return ROUTES[request.path].error(status, message)
