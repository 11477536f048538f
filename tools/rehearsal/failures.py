"""How TokenHub fails: the modes whose answer is an error, or another server's page. Pure."""

import json
from dataclasses import replace

from tools.rehearsal.answers import MODELS, completion, fail, healthz, json_answer, models, normal, plain_error
from tools.rehearsal.call import Answer, Call

PROVIDER_ERROR = {
    "error": {
        "message": "Incorrect API key provided: sk-rehear************************sal1.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}
WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"


def all_failed(call: Call) -> Answer:
    """The cause is told on streams only. /v1/messages and /v1/embeddings hand on the provider's own status."""
    provider_body = json.dumps(PROVIDER_ERROR)
    if call.path == "/v1/messages" and not call.streams:
        error = {"type": "authentication_error", "message": "invalid x-api-key"}
        return json_answer(401, {"type": "error", "error": error})
    if call.path == "/v1/messages":
        return fail(call, 502, f"API error (status 401): {provider_body}")
    if call.path == "/v1/embeddings":
        return json_answer(401, PROVIDER_ERROR)
    cause = f" for streaming: API error (status 401): {provider_body}" if call.streams else ""
    return fail(call, 502, f"all providers failed{cause}")


def no_providers(call: Call) -> Answer:
    if call.path == "/v1/models":
        return normal(call)
    if call.path == "/healthz":
        return healthz(0, len(MODELS))
    if call.path == "/v1/messages":
        return fail(call, 503, "no Anthropic-compatible provider configured")
    if call.path == "/v1/embeddings":
        return fail(call, 503, "provider does not support embeddings")
    return fail(call, 502, "no eligible models registered")


def no_models(call: Call) -> Answer:
    if call.path == "/v1/models":
        return models({})
    if call.path == "/healthz":
        return healthz(len(set(MODELS.values())), 0)
    if call.path == "/v1/embeddings":
        return fail(call, 404, f"model not found: {call.payload.get('model')}")
    return no_providers(call)


def budget(_: Call) -> Answer:
    # `error` is a string and there is no Retry-After, so SDKs retry it in vain.
    return json_answer(429, {"budget_usd": 10, "error": "monthly budget exceeded", "spent_usd": 10.42})


def rate_limit(_: Call) -> Answer:
    return plain_error(429, "rate limit exceeded", **{"Retry-After": "1"})


def key_rate_limit(_: Call) -> Answer:
    return plain_error(429, "api key rate limit exceeded", **{"Retry-After": "1"})


def refuse_key(_: Call) -> Answer:
    return plain_error(401, "invalid api key")


def no_scope(_: Call) -> Answer:
    return plain_error(403, "insufficient scope")


def wrapped(call: Call, raw: str) -> Answer:
    """A provider's 200 with a body TokenHub does not know: it becomes the content; on a stream it goes as it is."""
    if call.streams:
        return replace(normal(call), pieces=(raw.encode(),), opening=0, ending=0)
    if call.path == "/v1/chat/completions":
        message = {"content": raw, "role": "assistant"}
        return completion(call, [{"finish_reason": "stop", "index": 0, "message": message}], None)
    return replace(normal(call), pieces=(raw.encode(),))


def wrapped_error(call: Call) -> Answer:
    return wrapped(call, json.dumps(PROVIDER_ERROR, indent=2))


def wrapped_html(call: Call) -> Answer:
    return wrapped(call, WEB_PAGE.decode())


def html(_: Call) -> Answer:
    """Not TokenHub at all: a login page of something in front of it."""
    return Answer(200, {"Content-Type": "text/html; charset=utf-8"}, (WEB_PAGE,))


def panic(_: Call) -> Answer:
    return Answer(500, {}, ())
