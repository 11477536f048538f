"""Forwards LLM requests to the provider and streams its answers."""

import base64
import os
from typing import Any, Protocol
from urllib.parse import urlencode

import boto3

from gateway.core.cors import Cors
from gateway.core.redaction import Redactor
from gateway.core.sam_local import require_local_aws
from gateway.core.settings import CompletionsSettings
from gateway.core.telemetry import make_logger
from gateway.proxy.forwarder import Forwarder
from gateway.proxy.request import ForwardRequest
from gateway.proxy.session import Environment, Session
from gateway.proxy.targets import TargetResolver
from gateway.proxy.upstream import Upstream
from gateway.registry.endpoint import EndpointPolicy
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.store import ProviderStore
from lambda_streaming import SECONDS_BEFORE_LAMBDA_ENDS, Response, StreamingResponse, streaming

settings = CompletionsSettings.from_environ(os.environ)
require_local_aws(settings)
redactor = Redactor()

providers = ProviderStore(boto3.resource("dynamodb").Table(settings.providers_table))
endpoint_policy = EndpointPolicy(private_networks=settings.private_networks, loopback=settings.local)
targets = TargetResolver(
    providers, KeyCipher(boto3.client("kms"), settings.keys_key), endpoint_policy.guard_endpoint, redactor
)
upstream = Upstream(settings.limits, endpoint_policy.guard_address, loopback_host=settings.loopback_host)
forwarder = Forwarder(targets, upstream)
logger = make_logger("completions", settings.log_level, redactor)
environment = Environment(forwarder, settings.limits, logger, settings.metrics_namespace)
cors = Cors(settings.allowed_origins)

# The session ends before the streaming layer stops sending, so that the client still receives the error frame.
SPARE_SECONDS = SECONDS_BEFORE_LAMBDA_ENDS + 0.5


class LambdaContext(Protocol):
    def get_remaining_time_in_millis(self) -> int: ...


@streaming
def handler(event: dict[str, Any], context: LambdaContext) -> Response | StreamingResponse:
    """Takes a REST proxy event of a /v1 route. Returns the provider's answer, byte for byte, or an error."""
    headers = event.get("headers") or {}
    seconds = min(settings.limits.whole, context.get_remaining_time_in_millis() / 1000 - SPARE_SECONDS)
    session = Session(environment, _request(event), provider_id=_header(headers, "x-provider-id"), seconds=seconds)
    reply = session.reply()
    reply_headers = dict(reply.headers) | cors.headers(headers)
    if reply.stream is None:
        return Response(reply.status, reply_headers, reply.body)
    return StreamingResponse(reply.status, reply_headers, reply.stream, on_close=session.close)


def _request(event: dict[str, Any]) -> ForwardRequest:
    route = event["resource"].removeprefix("/v1")
    return ForwardRequest(
        method=event["httpMethod"],
        path=route.removeprefix("/anthropic/v1"),
        route=route,
        path_parameters=event.get("pathParameters") or {},
        request_id=event["requestContext"]["requestId"],
        query=urlencode(event.get("multiValueQueryStringParameters") or {}, doseq=True),
        headers=event.get("headers") or {},
        body=_body(event),
        client_request_id=_header(event.get("headers") or {}, "x-request-id"),
        source_ip=event["requestContext"].get("identity", {}).get("sourceIp"),
    )


def _body(event: dict[str, Any]) -> bytes | None:
    body: str | None = event.get("body")
    if body is None:
        return b"" if event["httpMethod"] == "POST" else None
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def _header(headers: dict[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)
