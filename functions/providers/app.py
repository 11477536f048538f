"""The provider API: registers providers and shows their health and its history."""

import gc

# Garbage collections take a tenth of the init's CPU time and free almost nothing (docs/benchmarks.md).
gc.disable()

import json
import os
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Query
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gateway.api.error_answer import error_answer
from gateway.api.openapi import base_path, document
from gateway.api.responses import empty_head, empty_response, error_response, json_response, provider_response
from gateway.api.rollup_views import IncidentsView, PeriodsView, incidents_view, periods_view
from gateway.api.settings import ProvidersSettings
from gateway.api.validation import invalid_request, validated_event
from gateway.api.views import (
    BeatNowView,
    BucketsView,
    HistoryView,
    ModelsView,
    OkView,
    beat_now_view,
    buckets_view,
    history_view,
)
from gateway.core.boto import lazy_client, set_up_boto3
from gateway.core.cors import Cors
from gateway.core.errors import GatewayError, InternalError, InvalidRequest, ProviderNotFound
from gateway.core.sam_local import require_local_aws
from gateway.core.strict_json import NOT_JSON
from gateway.core.telemetry import make_logger
from gateway.heartbeat.client import CLIENT_CONFIG, HeartbeatClient
from gateway.heartbeat.commands import FirstBeat, to_json
from gateway.heartbeat.history import decode_cursor, parse_bucket_width
from gateway.heartbeat.history_store import HistoryStore
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.registry.endpoint import EndpointPolicy
from gateway.registry.etags import IfMatch, parse_if_match
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import Provider
from gateway.registry.schemas import PatchIn, ProviderIn, ProviderView, ReplacementIn, provider_view
from gateway.registry.service import RegistrationResult, Registry
from gateway.registry.store import ProviderStore

settings = ProvidersSettings.from_environ(os.environ)
require_local_aws(settings)
logger = make_logger("providers", settings.log_level)
set_up_boto3()
# Short, because a registration succeeds without its first heartbeat: the caller must not wait for a Lambda API that
# does not respond.
SHORT_TIMEOUTS = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
# Only registrations and heartbeats on demand need these clients. Creating them takes a fifth of the cold start.
lambdas = lazy_client(lambda: boto3.client("lambda", config=SHORT_TIMEOUTS))
kms = lazy_client(lambda: boto3.client("kms"))
heartbeats_api = lazy_client(lambda: boto3.client("lambda", config=CLIENT_CONFIG))
heartbeat_function = HeartbeatClient(heartbeats_api, settings.heartbeat_function)
dynamodb = boto3.resource("dynamodb")
heartbeats = HistoryStore(dynamodb.Table(settings.heartbeats_table), retention=timedelta(days=settings.history_days))
roll_ups = RollUpStore(dynamodb.Table(settings.roll_ups_table))
providers = ProviderStore(dynamodb.Table(settings.providers_table))
registry = Registry(
    providers,
    KeyCipher(kms, settings.keys_key),
    clock=lambda: datetime.now(UTC),
    endpoint_policy=EndpointPolicy(private_networks=settings.private_networks, loopback=settings.local),
)
cors = Cors(settings.allowed_origins)
app = APIGatewayRestResolver(enable_validation=True)

# Powertools passes a list where the request has the header several times.
IfMatchHeader = Annotated[list[str] | str | None, Header(alias="If-Match")]


@app.post("/api/v1/providers")
def register(provider: Annotated[ProviderIn, Body()], condition: IfMatchHeader = None) -> Response[ProviderView]:
    result = registry.register(provider, _if_match(condition))
    if not result.created:
        return _changed(result, provider)
    _start_heartbeat(result.provider)
    # The location is relative, so that it is right under every stage and domain.
    parent = "" if app.current_event.path.endswith("/") else "providers/"
    return provider_response(result.provider, 201, Location=f"{parent}{result.provider.id}")


@app.get("/api/v1/providers")
def list_providers() -> Response[list[ProviderView]]:
    now = datetime.now(UTC)
    return json_response(200, [provider_view(provider, now) for provider in providers.all()])


@app.get("/api/v1/providers/<provider_id>")
def get_provider(provider_id: str) -> Response[ProviderView]:
    return provider_response(providers.get(provider_id))


@app.put("/api/v1/providers/<provider_id>")
def replace_provider(
    provider_id: str, provider: Annotated[ReplacementIn, Body()], condition: IfMatchHeader = None
) -> Response[ProviderView]:
    return _changed(registry.replace(provider_id, provider, _if_match(condition)), provider)


@app.patch("/api/v1/providers/<provider_id>")
def patch_provider(
    provider_id: str, changes: Annotated[PatchIn, Body()], condition: IfMatchHeader = None
) -> Response[ProviderView]:
    return _changed(registry.patch(provider_id, changes, _if_match(condition)), changes)


@app.delete("/api/v1/providers/<provider_id>")
def delete_provider(provider_id: str, condition: IfMatchHeader = None) -> Response[str]:
    registry.delete(provider_id, _if_match(condition))
    return empty_response()


@app.get("/api/v1/providers/<provider_id>/heartbeats")
def list_heartbeats(
    provider_id: str,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: str | None = None,
    bucket: str | None = None,
) -> Response[HistoryView | BucketsView]:
    older_than = None if before is None else decode_cursor(before)
    width = None if bucket is None else parse_bucket_width(bucket)
    provider, now = providers.get(provider_id), datetime.now(UTC)
    uptime = heartbeats.uptime(provider, now=now)
    if width is None:
        page = heartbeats.page(provider, limit=limit, before=older_than, now=now)
        return json_response(200, history_view(page, uptime))
    buckets = heartbeats.buckets(provider, width, limit=limit, before=older_than, now=now)
    return json_response(200, buckets_view(buckets, uptime))


@app.get("/api/v1/providers/<provider_id>/uptime")
def get_uptime(provider_id: str) -> Response[PeriodsView]:
    provider = providers.get(provider_id)
    return json_response(200, periods_view(roll_ups.read_summaries([provider], datetime.now(UTC))[provider.id]))


@app.get("/api/v1/providers/<provider_id>/incidents")
def list_incidents(
    provider_id: str, limit: Annotated[int, Query(ge=1, le=500)] = 50, before: str | None = None
) -> Response[IncidentsView]:
    older_than = None if before is None else decode_cursor(before)
    provider = providers.get(provider_id)
    page = roll_ups.incidents(provider, limit=limit, before=older_than, now=datetime.now(UTC))
    return json_response(200, incidents_view(page))


@app.post("/api/v1/providers/<provider_id>/heartbeat")
def beat_now(provider_id: str) -> Response[BeatNowView]:
    provider = providers.get(provider_id)
    return json_response(200, beat_now_view(provider.id, heartbeat_function.beat(provider.id)))


@app.get("/api/v1/providers/<provider_id>/models")
def list_models(provider_id: str) -> Response[ModelsView]:
    provider = providers.get(provider_id)
    return json_response(200, ModelsView(models=heartbeat_function.models(provider.id)))


@app.get("/api/v1/openapi.json")
def openapi() -> Response[dict[str, Any]]:
    context = app.current_event["requestContext"]
    # The local API server serves the API without the stage's name.
    base = "/" if settings.local else base_path(context.get("path"), context["resourcePath"])
    return json_response(200, openapi_document() | {"servers": [{"url": base}]})


@cache
def openapi_document() -> dict[str, Any]:
    """Built on the first request for it, to keep the cold start short."""
    return document(json.loads(app.get_openapi_json_schema()))


@app.get("/health")
def health() -> OkView:
    return OkView()


@app.head("/health")
def health_head() -> Response[str]:
    return empty_head()


def refuse_invalid(error: RequestValidationError) -> Response[str]:
    return error_response(invalid_request(error.errors()))


def refuse_nested_too_deeply(_error: RecursionError) -> Response[str]:
    """Handles bodies that `validated_event` can parse, but Powertools, deeper in the stack, cannot."""
    return error_response(InvalidRequest(NOT_JSON))


def handle_unexpected_error(error: Exception) -> Response[str]:
    logger.error("unforeseen", exc_info=error)
    return error_response(InternalError(_request_id(app.current_event.raw_event)))


@app.not_found
def refuse_unknown(_error: Exception) -> Response[str]:
    """API Gateway checks the path, so Powertools finds no route only for an id with invalid characters."""
    return error_response(ProviderNotFound())


# Called, not used as decorators: Powertools leaves them untyped.
app.exception_handler(GatewayError)(error_response)
app.exception_handler(RequestValidationError)(refuse_invalid)
app.exception_handler(RecursionError)(refuse_nested_too_deeply)
app.exception_handler(Exception)(handle_unexpected_error)

# The objects of the init live as long as the function, so later collections skip them.
gc.freeze()
gc.enable()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers a REST proxy event of an /api/v1 route or /health, and logs one line about it."""
    started = time.monotonic()
    logger.append_keys(request_id=_request_id(event))
    answer = _answer(event, context)
    request = {"method": event["httpMethod"], "route": event["resource"], "status": answer["statusCode"]}
    logger.info("api request", extra=request | {"duration_ms": round((time.monotonic() - started) * 1000)})
    return answer


def _answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
    headers = {"X-Request-Id": _request_id(event), **cors.headers(event.get("headers") or {})}
    try:
        valid = validated_event(event)
    except GatewayError as error:
        return error_answer(error, headers)
    answer = app.resolve(valid, context)
    answer["multiValueHeaders"] |= {name: [value] for name, value in headers.items()}
    return answer


def _request_id(event: dict[str, Any]) -> str:
    return str(event["requestContext"]["requestId"])


def _if_match(header: list[str] | str | None) -> IfMatch | None:
    return parse_if_match(", ".join(header) if isinstance(header, list) else header)


def _changed(result: RegistrationResult, request: ReplacementIn | PatchIn) -> Response[ProviderView]:
    # Sending the same key again repairs a key that cannot be decrypted. A heartbeat shows at once whether it did.
    if result.reset or (request.api_key is not None and result.provider.health.status == "failed"):
        _start_heartbeat(result.provider)
    return provider_response(result.provider)


def _start_heartbeat(provider: Provider) -> None:
    """Starts a heartbeat without waiting for it. If that fails, the next tick checks the provider."""
    if not provider.heartbeat.enabled:
        return
    try:
        payload = to_json(FirstBeat(provider.id))
        answer = lambdas.invoke(FunctionName=settings.heartbeat_function, InvocationType="Event", Payload=payload)
        # botocore keeps the connection open, but unusable, until the empty body is read.
        answer["Payload"].read()
    except (BotoCoreError, ClientError) as error:
        logger.warning("the first heartbeat could not be started", extra={"reason": type(error).__name__})
