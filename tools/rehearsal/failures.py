"""TokenHub's failures: the modes that respond with an error or with another server's page. No I/O."""

import json
from collections.abc import Callable
from dataclasses import replace

from tools.rehearsal.request import Json, Request
from tools.rehearsal.response import ScriptedResponse
from tools.rehearsal.routes import (
    MODELS,
    completion,
    error_response,
    healthz,
    json_response,
    model_headers,
    model_list,
    normal_response,
    plain_error,
)

type Mode = Callable[[Request], ScriptedResponse]

PROVIDER_ERROR = {
    "error": {
        "message": "Incorrect API key provided: sk-rehear************************sal1.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}
RATE_LIMIT_ERROR = {
    "error": {
        "message": "Rate limit reached for requests. Try again in 7s.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
}
OVERLOADED_ERROR = {
    "error": {
        "message": "The server is overloaded. Try again later.",
        "type": "service_unavailable_error",
        "param": None,
        "code": None,
    }
}
WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"


def anthropic_provider_error(kind: str, message: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": message}}


def provider_refuses(status: int, openai_body: Json, anthropic_status: int, anthropic_body: Json) -> Mode:
    """Every model provider refuses the request.

    The chat routes answer 502, and only a stream contains the cause. /v1/messages and /v1/embeddings forward the
    provider's status and body, except for a stream that fails before its first byte.
    """

    def respond(request: Request) -> ScriptedResponse:
        if request.path == "/v1/messages" and request.wants_stream:
            return error_response(request, 502, f"upstream {anthropic_status}: {json.dumps(anthropic_body)}")
        if request.path == "/v1/messages":
            return json_response(anthropic_status, anthropic_body, **model_headers(request))
        if request.path == "/v1/embeddings":
            return json_response(status, openai_body, **model_headers(request))
        error = f"API error (status {status}): {json.dumps(openai_body)}"
        cause = f" for streaming: {error}" if request.wants_stream else ""
        return error_response(request, 502, f"all providers failed{cause}")

    return respond


all_failed = provider_refuses(
    401, PROVIDER_ERROR, 401, anthropic_provider_error("authentication_error", "invalid x-api-key")
)
model_rate_limited = provider_refuses(
    429, RATE_LIMIT_ERROR, 429, anthropic_provider_error("rate_limit_error", "Number of requests exceeded.")
)
model_overloaded = provider_refuses(
    503, OVERLOADED_ERROR, 529, anthropic_provider_error("overloaded_error", "Overloaded")
)


def no_providers(request: Request) -> ScriptedResponse:
    if request.path == "/v1/models":
        return normal_response(request)
    if request.path == "/healthz":
        return healthz(0, len(MODELS))
    if request.path == "/v1/messages":
        return error_response(request, 503, "no Anthropic-compatible provider configured")
    if request.path == "/v1/embeddings":
        return error_response(request, 503, "provider does not support embeddings")
    return error_response(request, 502, "no eligible models registered")


def no_models(request: Request) -> ScriptedResponse:
    if request.path == "/v1/models":
        return model_list({})
    if request.path == "/healthz":
        return healthz(len(set(MODELS.values())), 0)
    if request.path == "/v1/embeddings":
        return error_response(request, 404, f"model not found: {request.payload.get('model')}")
    return no_providers(request)


def budget(_: Request) -> ScriptedResponse:
    # `error` is a string and there is no Retry-After, so SDKs retry without success.
    return json_response(429, {"budget_usd": 10, "error": "monthly budget exceeded", "spent_usd": 10.42})


def rate_limit(_: Request) -> ScriptedResponse:
    return plain_error(429, "rate limit exceeded", **{"Retry-After": "1"})


def key_rate_limit(_: Request) -> ScriptedResponse:
    return plain_error(429, "api key rate limit exceeded", **{"Retry-After": "1"})


def refuse_key(_: Request) -> ScriptedResponse:
    return plain_error(401, "invalid api key")


def no_scope(_: Request) -> ScriptedResponse:
    return plain_error(403, "insufficient scope")


def wrapped_body(request: Request, raw: str) -> ScriptedResponse:
    """A provider's 200 with an unknown body. TokenHub puts it into the content; a stream forwards it unchanged."""
    if request.wants_stream:
        return replace(normal_response(request), steps=(raw.encode(),), leading=0, trailing=0)
    if request.path == "/v1/chat/completions":
        message = {"content": raw, "role": "assistant"}
        return completion(request, [{"finish_reason": "stop", "index": 0, "message": message}], None)
    return replace(normal_response(request), steps=(raw.encode(),))


def wrapped_error(request: Request) -> ScriptedResponse:
    return wrapped_body(request, json.dumps(PROVIDER_ERROR, indent=2))


def wrapped_list(request: Request) -> ScriptedResponse:
    """The error of one of Google's APIs."""
    return wrapped_body(request, json.dumps([PROVIDER_ERROR]))


def wrapped_detail(request: Request) -> ScriptedResponse:
    """The error of a server that uses FastAPI."""
    return wrapped_body(request, '{"detail":"Not Found"}')


def wrapped_object(request: Request) -> ScriptedResponse:
    """vLLM's error."""
    error = {"object": "error", "message": "The model does not exist.", "type": "NotFoundError", "code": 404}
    return wrapped_body(request, json.dumps(error))


def choice_error(request: Request) -> ScriptedResponse:
    """A choice with an error and the finish reason `error`, as OpenRouter reports a failure of its provider."""
    old = f'"finish_reason":"{request.echo.finish_reason}"'
    return _rewritten(request, old.encode(), b'"error":{"message":"Upstream failed"},"finish_reason":"error"')


def error_beside_choices(request: Request) -> ScriptedResponse:
    """An answer that has choices and an error."""
    return _rewritten(request, b'"choices":', b'"error":{"message":"Upstream failed"},"choices":')


def _rewritten(request: Request, old: bytes, new: bytes) -> ScriptedResponse:
    response = normal_response(request)
    steps = (step.replace(old, new) if isinstance(step, bytes) else step for step in response.steps)
    return replace(response, steps=tuple(steps))


def wrapped_html(request: Request) -> ScriptedResponse:
    return wrapped_body(request, WEB_PAGE.decode())


def html(_: Request) -> ScriptedResponse:
    """The login page of a proxy in front of TokenHub."""
    return ScriptedResponse(200, {"Content-Type": "text/html; charset=utf-8"}, (WEB_PAGE,))


def panic(_: Request) -> ScriptedResponse:
    return ScriptedResponse(500, {}, ())
