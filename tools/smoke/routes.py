"""The other routes of /v1, and whose an error is. What a TokenHub of yours has no model for, it may refuse."""

from collections.abc import Callable
from typing import Any

from tools.smoke.check import Against, Check, require
from tools.smoke.contract import QUESTION, named, refused, told
from tools.smoke.wire import Reply

Json = dict[str, Any]

WRAPPED: Json = {"request": {"messages": QUESTION["messages"], "parameters": {"max_tokens": 16}}}
EMBEDDED: Json = {"model": "text-embedding-3-small", "input": "Say hello."}


def is_message(found: Json) -> object:
    return found.get("type") == "message" and found.get("content")


def is_embedding(found: Json) -> object:
    return found.get("data") and found["data"][0].get("embedding")


def is_negotiated(found: Json) -> object:
    return found.get("negotiated_model") and "choices" in found.get("response", {})


def route(path: str, body: Json, is_answer: Callable[[Json], object]) -> Callable[[Against], str]:
    """The check of that route. A model of yours may answer in a shape of its own."""

    def check(against: Against) -> str:
        reply = against.gateway.ask("POST", path, body)
        seen = f"{told(reply)[:40]}, {labels(reply)}"
        require(named(against, reply), seen)
        if reply.status >= 400 and not against.rehearsal:
            return require(reply.code is not None and reply.headers.get("x-error-source") == "provider", seen)
        found = reply.json()
        require(reply.status == 200 and isinstance(found, dict), seen)
        return require(not against.rehearsal or is_answer(found), seen)

    return check


def labels(reply: Reply) -> str:
    """What the answer says of itself in headers."""
    words = {"X-Provider-Id": "provider", "X-Request-Id": "request", "X-Error-Source": "source"}
    found = {word: reply.headers.get(name.lower()) for name, word in words.items()}
    return ", ".join(f"{word} {value}" for word, value in found.items() if value) or "no header of the gateway's"


def own_error(against: Against) -> str:
    """On /v1/messages, where the Anthropic SDK looks for a type beside the error."""
    reply = against.gateway.ask("POST", "/v1/messages", b"{")
    seen, beside = f"{refused(reply, 400, 'invalid_request')}, {labels(reply)}", reply.json().get("type")
    is_told = reply.headers.get("x-error-source") == "gateway" and reply.headers.get("x-request-id")
    return require(is_told and beside == "error", f"{seen}, type {beside}")


def refusal(against: Against) -> str:
    against.need_rehearsal()
    reply = against.gateway.ask("POST", "/v1/chat/completions", QUESTION | {"model": "rehearse/budget"})
    seen = f"{refused(reply, 429, 'provider_budget_spent')}, {labels(reply)}"
    return require(named(against, reply) and reply.headers.get("x-error-source") == "provider", seen)


ANSWER = "200 in its shape; of a TokenHub of yours, or its refusal"
CHECKS = [
    Check("/v1/messages", ANSWER, route("/v1/messages", QUESTION, is_message)),
    Check("/v1/embeddings", ANSWER, route("/v1/embeddings", EMBEDDED, is_embedding)),
    Check("/v1/chat", ANSWER, route("/v1/chat", WRAPPED, is_negotiated)),
    Check("/v1/plan", ANSWER, route("/v1/plan", WRAPPED, is_negotiated)),
    Check("error of the gateway's own", "400 invalid_request, X-Error-Source: gateway", own_error),
    Check("refusal of the provider", "429 provider_budget_spent, X-Error-Source: provider", refusal),
]
