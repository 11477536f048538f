"""The responses of the provider API's routes."""

import json
from datetime import UTC, datetime

from aws_lambda_powertools.event_handler import Response

from gateway.api.error_answer import JSON
from gateway.core.errors import GatewayError
from gateway.registry.etags import etag
from gateway.registry.provider import Provider
from gateway.registry.schemas import ProviderView, provider_view


def json_response[T](status: int, body: T, **headers: str) -> Response[T]:
    """Returns a JSON response. It has `no-store`, because a cached health would be out of date."""
    return Response(status, content_type=JSON, body=body, headers={"Cache-Control": "no-store", **headers})


def provider_response(provider: Provider, status: int = 200, **headers: str) -> Response[ProviderView]:
    """Returns the provider with its ETag. Never a 304: heartbeats change the body and not the ETag."""
    return json_response(status, provider_view(provider, datetime.now(UTC)), ETag=etag(provider), **headers)


def empty_response() -> Response[str]:
    """Returns a response without a body: an empty text, because the local API Gateway fails on null."""
    return Response(status_code=204, content_type="text/plain", body="")


def empty_head() -> Response[str]:
    """Returns the answer to a HEAD request: the status and the headers of the GET, without its body."""
    return Response(status_code=200, content_type=JSON, body="")


def error_response(error: GatewayError) -> Response[str]:
    return Response(status_code=error.status, content_type=JSON, body=json.dumps(error.body()))
