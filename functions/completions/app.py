"""Forwards LLM requests to the provider and streams its responses."""

import gc

# Garbage collections take a tenth of the init's CPU time and free almost nothing (docs/benchmarks.md).
gc.disable()

import os
from typing import Any, Protocol

from gateway.core.aws_api import DYNAMODB, KMS, AwsApi
from gateway.core.cors import Cors
from gateway.core.redaction import Redactor
from gateway.core.telemetry import make_logger
from gateway.proxy.forwarder import Forwarder
from gateway.proxy.request import ForwardRequest
from gateway.proxy.responses_fallback import ResponsesFallback
from gateway.proxy.session import Environment, Session
from gateway.proxy.settings import CompletionsSettings
from gateway.proxy.targets import TargetResolver
from gateway.proxy.upstream import Upstream
from gateway.registry.endpoint import EndpointPolicy
from gateway.registry.key_cipher import KeyDecrypter, KmsApi
from gateway.registry.reader import ProviderReader, item_reader
from lambda_streaming import Response, StreamingResponse, streaming

settings = CompletionsSettings.from_environ(os.environ)
redactor = Redactor()

dynamodb = AwsApi(DYNAMODB, settings, os.environ)
kms = AwsApi(KMS, settings, os.environ)
providers = ProviderReader(item_reader(dynamodb, settings.providers_table))
keys = KeyDecrypter(KmsApi(kms), settings.keys_key)
endpoint_policy = EndpointPolicy(private_networks=settings.private_networks, loopback=settings.local)
targets = TargetResolver(providers, keys, endpoint_policy.guard_endpoint, redactor)
upstream = Upstream(settings.limits, endpoint_policy.guard_address, loopback_host=settings.loopback_host)
forwarder = Forwarder(targets, ResponsesFallback(upstream))
logger = make_logger("completions", settings.log_level, redactor)
environment = Environment(forwarder, settings.limits, logger, settings.metrics_namespace)
cors = Cors(settings.allowed_origins)

# The objects of the init live as long as the function, so later collections skip them.
gc.freeze()
gc.enable()


class LambdaContext(Protocol):
    def get_remaining_time_in_millis(self) -> int: ...


@streaming
def handler(event: dict[str, Any], context: LambdaContext) -> Response | StreamingResponse:
    """Takes a REST proxy event of a /v1 route. Returns the provider's response, byte for byte, or an error."""
    request = ForwardRequest.from_event(event)
    session = Session(environment, request, seconds_left=context.get_remaining_time_in_millis() / 1000)
    reply = session.reply()
    headers = dict(reply.headers) | cors.headers(request.headers)
    if reply.stream is None:
        return Response(reply.status, headers, reply.body)
    return StreamingResponse(reply.status, headers, reply.stream, on_close=session.close)
