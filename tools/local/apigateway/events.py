"""The event that API Gateway (REST, Lambda proxy) makes of a request."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from tools.local.apigateway.routes import Match
from tools.local.deployed import Deployment

EVENT_LIMIT = 6 * 1024 * 1024  # Lambda takes no larger synchronous event

# Headers of one connection, not of the request (RFC 9110, 7.6.1): no gateway passes them on.
HOP_BY_HOP = frozenset({
    "connection", "content-length", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


@dataclass(frozen=True)
class ApiRequest:
    """A request as it came in. `path` and `query` are raw: still percent-encoded."""

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
        """The last value of a header, whatever its case."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[-1] if values else None


def method_arn(deployment: Deployment, method: str, path: str) -> str:
    """What an authorizer is asked about, and its policy is matched against."""
    api = f"arn:aws:execute-api:{deployment.region}:{deployment.account_id}:{deployment.api_id}"
    return f"{api}/{deployment.stage}/{method}{path}"


def encode(event: Mapping[str, Any]) -> bytes:
    """The bytes that a function is sent."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def proxy_event(
    deployment: Deployment, match: Match, request: ApiRequest, authorizer: Mapping[str, str]
) -> dict[str, Any]:
    """The REST proxy event; `authorizer` is the context that the authorizer function gave."""
    headers = _multi(_forwarded_headers(request))
    query = _multi(parse_qsl(request.query, keep_blank_values=True))
    body, is_base64 = _body(request.body)
    return {
        "resource": match.route.path,
        "path": request.path,
        "httpMethod": request.method,
        "headers": _last(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(match.path_parameters) or None,
        "stageVariables": None,
        "requestContext": _context(deployment, match, request, authorizer),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def _context(
    deployment: Deployment, match: Match, request: ApiRequest, authorizer: Mapping[str, str]
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
        "identity": {"sourceIp": request.source_ip, "userAgent": request.header("User-Agent")},
    }
    return context | ({"authorizer": dict(authorizer)} if match.route.authorizer else {})


def _forwarded_headers(request: ApiRequest) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in request.headers if name.lower() not in HOP_BY_HOP]
    earlier = request.header("X-Forwarded-For")
    ours = {
        "X-Forwarded-For": f"{earlier}, {request.source_ip}" if earlier else request.source_ip,
        "X-Forwarded-Port": str(request.port),
        "X-Forwarded-Proto": "http",
    }
    replaced = {name.lower() for name in ours}
    return [(name, value) for name, value in kept if name.lower() not in replaced] + list(ours.items())


def _multi(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Values by name; names that differ only in case are one, spelt as it came first."""
    spelling: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(spelling.setdefault(name.lower(), name), []).append(value)
    return values


def _last(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: several[-1] for name, several in values.items()}


def _body(body: bytes) -> tuple[str | None, bool]:
    if not body:
        return None, False
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True
