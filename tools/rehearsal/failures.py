"""TokenHub's failures: the modes that respond with an error or with another server's page. No I/O."""

import json
from dataclasses import replace

from tools.rehearsal.request import Request
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

PROVIDER_ERROR = {
    "error": {
        "message": "Incorrect API key provided: sk-rehear************************sal1.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}
WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"


def all_failed(request: Request) -> ScriptedResponse:
    """Only streams contain the cause. /v1/messages and /v1/embeddings forward the provider's own status."""
    provider_body = json.dumps(PROVIDER_ERROR)
    if request.path == "/v1/messages" and not request.wants_stream:
        error = {"type": "authentication_error", "message": "invalid x-api-key"}
        return json_response(401, {"type": "error", "error": error}, **model_headers(request))
    if request.path == "/v1/messages":
        return error_response(request, 502, f"upstream 401: {provider_body}")
    if request.path == "/v1/embeddings":
        return json_response(401, PROVIDER_ERROR, **model_headers(request))
    cause = f" for streaming: API error (status 401): {provider_body}" if request.wants_stream else ""
    return error_response(request, 502, f"all providers failed{cause}")


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


def model_overloaded(request: Request) -> ScriptedResponse:
    """A model provider's 529, which TokenHub relays on /v1/messages. On the other routes every provider failed."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    if request.path != "/v1/messages":
        return all_failed(request)
    if request.wants_stream:
        return error_response(request, 502, f"upstream 529: {json.dumps(error)}")
    return json_response(529, error, **model_headers(request))


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


def wrapped_html(request: Request) -> ScriptedResponse:
    return wrapped_body(request, WEB_PAGE.decode())


def html(_: Request) -> ScriptedResponse:
    """The login page of a proxy in front of TokenHub."""
    return ScriptedResponse(200, {"Content-Type": "text/html; charset=utf-8"}, (WEB_PAGE,))


def panic(_: Request) -> ScriptedResponse:
    return ScriptedResponse(500, {}, ())
