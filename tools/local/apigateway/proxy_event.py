"""Builds the event that API Gateway (REST API, Lambda proxy integration) sends to a function."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from tools.local.apigateway.routes import RouteMatch
from tools.local.deployment import Deployment

# Lambda's limit for the event of a synchronous invocation.
MAX_EVENT_BYTES = 6 * 1024 * 1024

# Headers that apply to one connection only, so a gateway does not forward them (RFC 9110, section 7.6.1).
HOP_BY_HOP = frozenset({
    "connection", "content-length", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


@dataclass(frozen=True)
class ApiRequest:
    """A received request. `path` and `query` are still percent-encoded."""

    id: str
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    port: int
    received: datetime
    protocol: str = "HTTP/1.1"

    def header(self, name: str) -> str | None:
        """Returns the last value of a header, or None. The name is case-insensitive."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[-1] if values else None


def method_arn(deployment: Deployment, method: str, path: str) -> str:
    """Returns the ARN of a method, which the authorizer function receives and its policy is matched against."""
    api = f"arn:aws:execute-api:{deployment.region}:{deployment.account_id}:{deployment.api_id}"
    return f"{api}/{deployment.stage}/{method}{path}"


def encode(event: Mapping[str, Any]) -> bytes:
    """Returns the event as the JSON bytes that a function receives."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def proxy_event(
    deployment: Deployment, match: RouteMatch, request: ApiRequest, authorizer: Mapping[str, str]
) -> dict[str, Any]:
    """Returns the proxy event of a REST API. `authorizer` is the authorizer function's context."""
    headers = _group_values(_forwarded_headers(request))
    query = _group_values(parse_qsl(request.query, keep_blank_values=True))
    body, is_base64 = _body(request.body)
    return {
        "resource": match.route.path,
        "path": request.path,
        "httpMethod": request.method,
        "headers": _last_values(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last_values(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(match.path_parameters) or None,
        "stageVariables": None,
        "requestContext": _context(deployment, match, request, authorizer),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def authorizer_request(deployment: Deployment, match: RouteMatch, request: ApiRequest) -> dict[str, Any]:
    """Returns what a REQUEST authorizer receives of a request: everything except the body."""
    event = proxy_event(deployment, match, request, {})
    return {name: value for name, value in event.items() if name not in ("body", "isBase64Encoded")}


def _context(
    deployment: Deployment, match: RouteMatch, request: ApiRequest, authorizer: Mapping[str, str]
) -> dict[str, Any]:
    context: dict[str, Any] = {
        "accountId": deployment.account_id,
        "apiId": deployment.api_id,
        "stage": deployment.stage,
        "resourcePath": match.route.path,
        "httpMethod": request.method,
        "requestId": request.id,
        "extendedRequestId": request.id,
        "path": f"/{deployment.stage}{request.path}",
        "protocol": request.protocol,
        "requestTime": request.received.strftime("%d/%b/%Y:%H:%M:%S %z"),
        "requestTimeEpoch": int(request.received.timestamp() * 1000),
        "identity": _identity(request),
    }
    return context | ({"authorizer": dict(authorizer)} if match.route.authorizer and authorizer else {})


def _identity(request: ApiRequest) -> dict[str, Any]:
    identity = {"sourceIp": request.source_ip, "userAgent": request.header("User-Agent")}
    api_key = request.header("x-api-key")
    # API Gateway repeats this header here, also on a method that needs no API key.
    return identity | ({"apiKey": api_key} if api_key else {})


def _forwarded_headers(request: ApiRequest) -> list[tuple[str, str]]:
    end_to_end = [(name, value) for name, value in request.headers if name.lower() not in HOP_BY_HOP]
    previous = request.header("X-Forwarded-For")
    added = {
        "X-Forwarded-For": f"{previous}, {request.source_ip}" if previous else request.source_ip,
        "X-Forwarded-Port": str(request.port),
        "X-Forwarded-Proto": "http",
    }
    replaced = {name.lower() for name in added}
    return [(name, value) for name, value in end_to_end if name.lower() not in replaced] + list(added.items())


def _group_values(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Groups values by their case-insensitive name. Each name keeps its first spelling."""
    spelling: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(spelling.setdefault(name.lower(), name), []).append(value)
    return values


def _last_values(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: items[-1] for name, items in values.items()}


def _body(body: bytes) -> tuple[str | None, bool]:
    if not body:
        return None, False
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True
