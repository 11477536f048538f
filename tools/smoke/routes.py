"""Checks of the other /v1 routes and of X-Error-Source. A real TokenHub may reject a route it has no model for."""

from collections.abc import Callable
from typing import Any

from tools.smoke.check import Check, Target, require
from tools.smoke.contract import CHAT_REQUEST, describe, has_routing_headers, require_error
from tools.smoke.wire import Response

Json = dict[str, Any]

WRAPPED_CHAT: Json = {"request": {"messages": CHAT_REQUEST["messages"], "parameters": {"max_tokens": 16}}}
EMBEDDING: Json = {"model": "text-embedding-3-small", "input": "Say hello."}


def is_message(body: Json) -> object:
    return body.get("type") == "message" and body.get("content")


def is_embedding(body: Json) -> object:
    return body.get("data") and body["data"][0].get("embedding")


def is_negotiated(body: Json) -> object:
    return body.get("negotiated_model") and "choices" in body.get("response", {})


# The sources of an error that TokenHub sent.
PROVIDER_SOURCES = ("tokenhub", "model")


def route(path: str, body: Json, has_expected_shape: Callable[[Json], object]) -> Callable[[Target], str]:
    """Returns the check of a route. `has_expected_shape` applies to the rehearsal only: other models may differ."""

    def check(target: Target) -> str:
        response = target.gateway.request("POST", path, body)
        actual = f"{describe(response)[:40]}, {describe_headers(response)}"
        require(has_routing_headers(target, response), actual)
        if response.status >= 400 and not target.is_rehearsal:
            return require(
                response.error_code is not None and response.headers.get("x-error-source") in PROVIDER_SOURCES, actual
            )
        result = response.json()
        require(response.status == 200 and isinstance(result, dict), actual)
        return require(not target.is_rehearsal or has_expected_shape(result), actual)

    return check


def describe_headers(response: Response) -> str:
    """Describes the headers that identify the request, the provider and the source of an error."""
    labels = {"X-Provider-Id": "provider", "X-Request-Id": "request", "X-Error-Source": "source"}
    values = {label: response.headers.get(name.lower()) for name, label in labels.items()}
    return ", ".join(f"{label} {value}" for label, value in values.items() if value) or "no header of the gateway"


def own_error(target: Target) -> str:
    """Checks an error on /v1/messages, where the Anthropic SDK expects a `type` outer_type `error`."""
    response = target.gateway.request("POST", "/v1/messages", b"{")
    actual, outer_type = (
        f"{require_error(response, 400, 'invalid_request')}, {describe_headers(response)}",
        response.json().get("type"),
    )
    has_headers = response.headers.get("x-error-source") == "gateway" and response.headers.get("x-request-id")
    return require(has_headers and outer_type == "error", f"{actual}, type {outer_type}")


def refusal(target: Target) -> str:
    target.require_rehearsal()
    response = target.gateway.request("POST", "/v1/chat/completions", CHAT_REQUEST | {"model": "rehearse/budget"})
    actual = f"{require_error(response, 429, 'provider_budget_spent')}, {describe_headers(response)}"
    return require(
        has_routing_headers(target, response) and response.headers.get("x-error-source") == "tokenhub", actual
    )


EXPECTED_RESPONSE = "200 in the route's format; a real TokenHub may reject it"
CHECKS = [
    Check("/v1/messages", EXPECTED_RESPONSE, route("/v1/messages", CHAT_REQUEST, is_message)),
    Check("/v1/embeddings", EXPECTED_RESPONSE, route("/v1/embeddings", EMBEDDING, is_embedding)),
    Check("/v1/chat", EXPECTED_RESPONSE, route("/v1/chat", WRAPPED_CHAT, is_negotiated)),
    Check("/v1/plan", EXPECTED_RESPONSE, route("/v1/plan", WRAPPED_CHAT, is_negotiated)),
    Check("gateway error", "400 invalid_request, X-Error-Source: gateway", own_error),
    Check("provider error", "429 provider_budget_spent, X-Error-Source: tokenhub", refusal),
]
