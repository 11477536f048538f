"""A forwarded request: what of it is read, and what of it travels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.core.errors import InvalidRequest
from gateway.core.strict_json import NOT_JSON, read_object

SENT_UP = {"content-type", "accept", "user-agent", "traceparent", "idempotency-key"}
MODEL_PATHS = {"/chat/completions", "/messages"}  # where a provider's model stands in for a missing one
STREAM_PATHS = {"/chat/completions", "/messages", "/chat"}  # elsewhere TokenHub takes no notice of `stream`


@dataclass(frozen=True)
class ForwardRequest:
    """One request to the provider. `path` is relative to its endpoint; `body` is None for a GET."""

    method: str
    path: str
    request_id: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    stream: bool = False
    model: str | None = None
    choices: int = 1
    source_ip: str | None = None


def read_request(request: ForwardRequest) -> ForwardRequest:
    """The request with what the gateway has to know of its body, and with the headers that travel.

    Raises InvalidRequest where the body is no JSON object.
    """
    content = _content(request.body) if request.body is not None else {}
    inner = _inner(content, "request") if request.path == "/chat" else content
    parameters = _inner(inner, "parameters") if request.path == "/chat" else content
    choices, model = parameters.get("n"), content.get("model")
    return replace(
        request,
        headers={k.lower(): v.strip() for k, v in request.headers.items() if _travels(k.lower(), v.strip())},
        stream=request.path in STREAM_PATHS and inner.get("stream") is True,
        model=model if isinstance(model, str) else None,
        choices=choices if isinstance(choices, int) and choices > 0 else 1,
    )


def with_model(request: ForwardRequest, model: str | None) -> ForwardRequest:
    """The request with the provider's registered model where it names none. The rest of the body stays as it was."""
    if model is None or request.model is not None or request.path not in MODEL_PATHS or request.body is None:
        return request
    content = _content(request.body)
    if "model" in content:
        return request  # null or no string: TokenHub's to refuse
    rest = request.body.lstrip().removeprefix(b"{")
    first = json.dumps({"model": model}).encode().removesuffix(b"}")
    return replace(request, body=first + (b"," if content else b"") + rest, model=model)


def _travels(name: str, value: str) -> bool:
    return value.isascii() and value.isprintable() and (name in SENT_UP or name.startswith("anthropic-"))


def _inner(content: dict[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _content(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode()  # bytes would be taken as UTF-16 too
    except UnicodeDecodeError:
        raise InvalidRequest(NOT_JSON) from None
    return read_object(text, '{"messages": [...]}')
