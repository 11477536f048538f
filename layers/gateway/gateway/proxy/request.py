"""A request to forward: the fields that the gateway reads, and the headers that it forwards."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlencode

from gateway.core.errors import InvalidRequest
from gateway.core.strict_json import NOT_JSON, read_object
from gateway.proxy.caller_metadata import read_metadata
from gateway.proxy.paths import provider_path

FORWARDED_HEADERS = {"content-type", "accept", "user-agent", "traceparent", "tracestate", "idempotency-key"}
GZIP_START = b"\x1f\x8b"
# The paths on which a missing model is replaced by the registered one.
MODEL_PATHS = {"/chat/completions", "/messages", "/messages/count_tokens", "/completions", "/responses"}
# The paths whose body wraps the request. They have a model hint, which is only a wish, and no model.
HINT_PATHS = {"/chat", "/plan"}
# TokenHub ignores `stream` on all other paths.
STREAM_PATHS = {"/chat/completions", "/messages", "/chat", "/completions", "/responses"}


@dataclass(frozen=True)
class ForwardRequest:
    """One request to a provider. `path` is relative to its endpoint; `body` is None for a GET.

    `model` is the model or the model hint that the body names, `client_request_id` the caller's X-Request-ID.
    `metadata` has the caller's labels for the log line. `route` is the gateway's route, without /v1, as the log line
    has it. `path` may end in `{model+}`, which `read_request` replaces by the value in `path_parameters`.
    `provider_id` None selects the default provider.
    """

    method: str
    path: str
    request_id: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    stream: bool = False
    model: str | None = None
    choices: int = 1
    include_usage: bool = False
    source_ip: str | None = None
    client_request_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    route: str = ""
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    provider_id: str | None = None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Self:
        """Returns the request of API Gateway's REST proxy event, with all its headers and an unread body."""
        headers = event.get("headers") or {}
        route = event["resource"].removeprefix("/v1")
        return cls(
            method=event["httpMethod"],
            path=route.removeprefix("/anthropic/v1"),
            route=route,
            path_parameters=event.get("pathParameters") or {},
            request_id=event["requestContext"]["requestId"],
            query=urlencode(event.get("multiValueQueryStringParameters") or {}, doseq=True),
            headers=headers,
            body=_body(event),
            client_request_id=_header(headers, "x-request-id"),
            provider_id=_header(headers, "x-provider-id"),
            source_ip=event["requestContext"].get("identity", {}).get("sourceIp"),
        )


def read_request(request: ForwardRequest) -> ForwardRequest:
    """Returns the request with its provider's path, the fields that its body determines, and the forwarded headers.

    Raises InvalidRequest if the body is compressed or not a JSON object, or if the path has an invalid model name.
    """
    _require_uncompressed(request)
    content = _content(request.body) if request.body is not None else {}
    is_wrapped = request.path in HINT_PATHS
    inner = _object(content, "request") if is_wrapped else content
    parameters = _object(inner, "parameters") if is_wrapped else content
    choices, model = parameters.get("n"), inner.get("model_hint") if is_wrapped else content.get("model")
    return replace(
        request,
        path=provider_path(request.path, request.path_parameters),
        headers={k.lower(): v.strip() for k, v in request.headers.items() if _is_forwarded(k.lower(), v.strip())},
        stream=request.path in STREAM_PATHS and inner.get("stream") is True,
        model=model if isinstance(model, str) else None,
        choices=choices if isinstance(choices, int) and choices > 0 else 1,
        include_usage=_object(parameters, "stream_options").get("include_usage") is True,
    )


def with_metadata(request: ForwardRequest) -> ForwardRequest:
    """Adds the caller's labels, which the log line has and the provider never receives. Raises InvalidMetadata."""
    return replace(request, metadata=read_metadata(_header(request.headers, "x-gateway-metadata")))


def with_model(request: ForwardRequest, model: str | None) -> ForwardRequest:
    """Adds the registered model to a body that names none. The other bytes of the body stay unchanged."""
    if model is None or request.model is not None or request.path not in MODEL_PATHS or request.body is None:
        return request
    content = _content(request.body)
    if "model" in content:
        # The model is null or not a string. TokenHub rejects that.
        return request
    rest = request.body.lstrip().removeprefix(b"{")
    first = json.dumps({"model": model}).encode().removesuffix(b"}")
    return replace(request, body=first + (b"," if content else b"") + rest, model=model)


def _body(event: Mapping[str, Any]) -> bytes | None:
    body: str | None = event.get("body")
    if body is None:
        return b"" if event["httpMethod"] == "POST" else None
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _require_uncompressed(request: ForwardRequest) -> None:
    values = [value for name, value in request.headers.items() if name.lower() == "content-encoding"]
    is_encoded = any(value.strip().lower() not in ("", "identity") for value in values)
    if is_encoded or (request.body or b"").startswith(GZIP_START):
        raise InvalidRequest("The request body is compressed. Send it uncompressed, without Content-Encoding.")


def _is_forwarded(name: str, value: str) -> bool:
    return value.isascii() and value.isprintable() and (name in FORWARDED_HEADERS or name.startswith("anthropic-"))


def _object(content: dict[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _content(body: bytes) -> dict[str, Any]:
    try:
        # json.loads accepts bytes, but would read them as UTF-16 too.
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(NOT_JSON) from None
    return read_object(text, '{"messages": [...]}')
