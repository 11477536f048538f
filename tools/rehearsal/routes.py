"""TokenHub's routes: the normal response of each one, and the shape of its errors.

Each route maps a `Request` to a `ScriptedResponse` without I/O; `tools.rehearsal.server` sends it. Texts, key order
and content types are those of TokenHub's Go source.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.rehearsal.forwarding import ANTHROPIC_PROVIDER
from tools.rehearsal.request import Json, Request, dict_or_empty
from tools.rehearsal.response import ScriptedResponse
from tools.rehearsal.streams import Stream, anthropic_message, anthropic_stream, openai_stream

# Model → provider. The provider `rehearsal` serves every route and streams OpenAI chunks on the chat routes.
MODELS = {
    "echo": "rehearsal",
    "gpt-4o": "openai",
    "gpt-4o-mini": "openai",
    "claude-sonnet-4-6": ANTHROPIC_PROVIDER,
    "anthropic/claude-sonnet-4-20250514": ANTHROPIC_PROVIDER,
    "text-embedding-3-small": "openai",
}
DEFAULT_MODELS = {"/v1/messages": "claude-sonnet-4-6", "/v1/embeddings": "text-embedding-3-small"}
ALIASES = {"fast": "gpt-4o-mini"}
OPENAI_HAS_NO_MESSAGES = {
    "error": {
        "message": "Invalid URL (POST /v1/messages)",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
}
REHEARSE_PREFIX = "rehearse/"
MAX_BODY_BYTES = 10 * 1024 * 1024
BODY_TOO_LARGE = "http: request body too large"

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


def has_anthropic_model(request: Request) -> bool:
    return MODELS.get(request.model) == ANTHROPIC_PROVIDER


def streams_anthropic_events(request: Request) -> bool:
    return request.path == "/v1/messages" or has_anthropic_model(request)


def model_stream(request: Request, *, with_usage: bool = False) -> ScriptedResponse:
    """The provider's own stream. TokenHub forwards raw Anthropic events on the chat routes too."""
    if has_anthropic_model(request):
        return stream_response(request, anthropic_stream(request.echo))
    return stream_response(request, openai_stream(request.echo, request.choice_count, with_usage=with_usage))


def stream_response(request: Request, stream: Stream) -> ScriptedResponse:
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Connection": "keep-alive"}
    headers |= model_headers(request)
    return ScriptedResponse(200, headers, stream.frames, leading=stream.leading, trailing=stream.trailing)


def healthz(adapters: int, models: int) -> ScriptedResponse:
    status = "ok" if adapters and models else "unhealthy"
    body = {"adapters": adapters, "models": models, "status": status}
    return json_response(200 if status == "ok" else 503, body)


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
    if request.wants_stream:
        return model_stream(request)
    return completion(request, completion_choices(request), request.echo.openai_usage)


def whole_body_error(json_error: str) -> str:
    """These routes read at most 10 MB and then parse them. The chat routes parse while they read."""
    return "unexpected end of JSON input" if json_error in ("EOF", BODY_TOO_LARGE) else json_error


def openai_without_messages(request: Request) -> ScriptedResponse:
    """TokenHub sends /v1/messages to an OpenAI provider too, which has no such route."""
    if request.wants_stream:
        return anthropic_error(502, f"upstream 404: {go_json(OPENAI_HAS_NO_MESSAGES).decode().strip()}")
    return json_response(404, OPENAI_HAS_NO_MESSAGES, **model_headers(request))


def messages(request: Request) -> ScriptedResponse:
    if request.json_error:
        return anthropic_error(400, f"invalid JSON: {whole_body_error(request.json_error)}")
    if MODELS.get(request.model) == "openai":
        return openai_without_messages(request)
    if request.wants_stream:
        return stream_response(request, anthropic_stream(request.echo))
    return json_response(200, anthropic_message(request.echo), **model_headers(request))


def embeddings(request: Request) -> ScriptedResponse:
    if request.json_error:
        return string_error(400, f"invalid JSON: {whole_body_error(request.json_error)}")
    if registered_name(request.model, request.path) is None:
        return string_error(404, f"model not found: {request.payload.get('model')}")
    if has_anthropic_model(request):
        return string_error(503, "provider does not support embeddings")
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
        return model_stream(request, with_usage=with_usage)
    response = plan(request)
    if response.status != 200:
        return response
    headers = {"Content-Type": "text/plain; charset=utf-8"} | model_headers(request)
    return ScriptedResponse(200, headers, response.steps)


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


def registered_name(requested: str, path: str) -> str | None:
    """Returns the registered model that a name selects, or None. `provider/x` selects x if x is registered."""
    bare = requested.partition("/")[2]
    if requested in MODELS or requested.startswith(REHEARSE_PREFIX):
        return requested
    if bare in MODELS:
        return bare
    matches = [name for name in MODELS if name.endswith(f"/{requested}")]
    return matches[0] if matches and requested and path == "/v1/messages" else None


def serving_model(requested: str, path: str) -> tuple[str, str | None]:
    """Returns the model that serves and the alias that selected it.

    TokenHub replaces an unknown model by another one, except on /v1/embeddings. `*` is an alias only if it is
    registered as one, or if one of TokenHub's default models for `*` is registered. This TokenHub has neither.
    """
    default = DEFAULT_MODELS.get(path, "echo")
    if (name := registered_name(requested, path)) is not None:
        return name, None
    if requested in ALIASES:
        return ALIASES[requested], requested
    return (requested if requested and path == "/v1/embeddings" else default), None


def normal_response(request: Request) -> ScriptedResponse:
    return ROUTES[request.path].respond(request)


def error_response(request: Request, status: int, message: str) -> ScriptedResponse:
    return ROUTES[request.path].error(status, message)
