"""The provider API: registers providers and shows their health and its history."""

import json
import os
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Query
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gateway.api.openapi import base_path, document
from gateway.api.validation import invalid_request, require_object
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
from gateway.core.cors import Cors
from gateway.core.errors import GatewayError, InvalidRequest, ProviderNotFound
from gateway.core.sam_local import require_local_aws
from gateway.core.settings import ProvidersSettings
from gateway.core.strict_json import NOT_JSON
from gateway.core.telemetry import make_logger
from gateway.heartbeat.client import CLIENT_CONFIG, HeartbeatClient
from gateway.heartbeat.commands import FirstBeat, to_json
from gateway.heartbeat.history import decode_cursor, parse_bucket_width
from gateway.heartbeat.history_store import HistoryStore
from gateway.registry.endpoint import EndpointPolicy
from gateway.registry.etags import IfMatch, etag, parse_if_match
from gateway.registry.key_cipher import KeyCipher
from gateway.registry.provider import Provider
from gateway.registry.schemas import PatchIn, ProviderIn, ProviderView, ReplacementIn, provider_view
from gateway.registry.service import RegistrationResult, Registry
from gateway.registry.store import ProviderStore

settings = ProvidersSettings.from_environ(os.environ)
require_local_aws(settings)
logger = make_logger("providers", settings.log_level)
# A registration is done without its first beat: no caller should wait for a Lambda that does not answer.
lambdas = boto3.client("lambda", config=Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2}))
heartbeat_function = HeartbeatClient(boto3.client("lambda", config=CLIENT_CONFIG), settings.heartbeat_function)
dynamodb = boto3.resource("dynamodb")
heartbeats = HistoryStore(dynamodb.Table(settings.heartbeats_table), retention=timedelta(days=settings.history_days))
providers = ProviderStore(dynamodb.Table(settings.providers_table))
registry = Registry(
    providers,
    KeyCipher(boto3.client("kms"), settings.keys_key),
    clock=lambda: datetime.now(UTC),
    endpoint_policy=EndpointPolicy(private_networks=settings.private_networks, loopback=settings.local),
)
cors = Cors(settings.allowed_origins)
app = APIGatewayRestResolver(enable_validation=True)

WITH_BODY = {"POST", "PUT", "PATCH"}
BODILESS = {"/api/v1/providers/{id}/heartbeat"}  # what comes with it is not looked at


Expected = Annotated[list[str] | str | None, Header(alias="If-Match")]  # a list has the lines of it


@app.post("/api/v1/providers")
def register(provider: Annotated[ProviderIn, Body()], expected: Expected = None) -> Response[ProviderView]:
    done = registry.register(provider, _seen(expected))
    if not done.created:
        return _changed(done, provider)
    _beat_soon(done.provider)
    # relative, so that it leads there under whatever stage or domain it was called; a slash at the end is a step down
    above = "" if app.current_event.path.endswith("/") else "providers/"
    return _shown(done.provider, 201, Location=f"{above}{done.provider.id}")


@app.get("/api/v1/providers")
def list_providers() -> Response[list[ProviderView]]:
    now = datetime.now(UTC)
    return _answer(200, [provider_view(provider, now) for provider in providers.all()])


@app.get("/api/v1/providers/<provider_id>")
def get_provider(provider_id: str) -> Response[ProviderView]:
    return _shown(providers.get(provider_id))  # never a 304: the health in it changes, and the ETag does not


@app.put("/api/v1/providers/<provider_id>")
def replace_provider(
    provider_id: str, provider: Annotated[ReplacementIn, Body()], expected: Expected = None
) -> Response[ProviderView]:
    return _changed(registry.replace(provider_id, provider, _seen(expected)), provider)


@app.patch("/api/v1/providers/<provider_id>")
def patch_provider(
    provider_id: str, changes: Annotated[PatchIn, Body()], expected: Expected = None
) -> Response[ProviderView]:
    return _changed(registry.patch(provider_id, changes, _seen(expected)), changes)


@app.delete("/api/v1/providers/<provider_id>")
def delete_provider(provider_id: str, expected: Expected = None) -> Response[str]:
    registry.delete(provider_id, _seen(expected))
    return Response(status_code=204, content_type="text/plain", body="")  # the local API Gateway fails on a null


@app.get("/api/v1/providers/<provider_id>/heartbeats")
def list_heartbeats(
    provider_id: str,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: str | None = None,
    bucket: str | None = None,
) -> Response[HistoryView | BucketsView]:
    older = None if before is None else decode_cursor(before)
    width = None if bucket is None else parse_bucket_width(bucket)
    provider, now = providers.get(provider_id), datetime.now(UTC)
    uptime = heartbeats.uptime(provider, now=now)
    if width is None:
        return _answer(200, history_view(heartbeats.page(provider, limit=limit, before=older, now=now), uptime))
    buckets = heartbeats.buckets(provider, width, limit=limit, before=older, now=now)
    return _answer(200, buckets_view(buckets, uptime))


@app.post("/api/v1/providers/<provider_id>/heartbeat")
def beat_now(provider_id: str) -> Response[BeatNowView]:
    provider = providers.get(provider_id)
    return _answer(200, beat_now_view(provider.id, heartbeat_function.beat(provider.id)))


@app.get("/api/v1/providers/<provider_id>/models")
def list_models(provider_id: str) -> Response[ModelsView]:
    provider = providers.get(provider_id)
    return _answer(200, ModelsView(models=heartbeat_function.models(provider.id)))


@app.get("/api/v1/openapi.json")
def openapi() -> Response[dict[str, Any]]:
    context = app.current_event["requestContext"]
    # Locally the front serves the plain paths, whatever the stage is called.
    base = "/" if settings.local else base_path(context.get("path"), context["resourcePath"])
    return _answer(200, described() | {"servers": [{"url": base}]})


@cache
def described() -> dict[str, Any]:
    """The OpenAPI document, made when it is first asked for: a cold start should not wait for it."""
    return document(json.loads(app.get_openapi_json_schema()))


@app.get("/health")
def health() -> OkView:
    return OkView()


def refuse(error: GatewayError) -> Response[str]:
    return Response(status_code=error.status, content_type="application/json", body=json.dumps(error.body()))


def refuse_invalid(error: RequestValidationError) -> Response[str]:
    return refuse(invalid_request(error.errors()))


def refuse_unforeseen(error: Exception) -> Response[str]:
    logger.error("unforeseen", exc_info=error)
    return refuse(GatewayError("The gateway failed. Its logs say more under this X-Request-Id."))


@app.not_found
def refuse_unknown(_error: Exception) -> Response[str]:
    """API Gateway knows the paths: what Powertools finds none for has an id of characters that no id has."""
    return refuse(ProviderNotFound())


def refuse_too_deep(_error: RecursionError) -> Response[str]:
    """What require_object could just read, deeper in the stack."""
    return refuse(InvalidRequest(NOT_JSON))


app.exception_handler(GatewayError)(refuse)
app.exception_handler(RecursionError)(refuse_too_deep)
app.exception_handler(RequestValidationError)(refuse_invalid)
app.exception_handler(Exception)(refuse_unforeseen)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A REST proxy event of an /api/v1 route or /health → its answer."""
    headers = event.get("headers") or {}
    try:
        if "\n" in event["path"]:  # Powertools would drop it at the end, and take the id before it
            raise ProviderNotFound
        if event["httpMethod"] in WITH_BODY and event["resource"] not in BODILESS:
            require_object(event["body"])  # Powertools takes the first item of a list for the body
            event = _as_json(event)
    except GatewayError as error:
        plain = {"content-type": "application/json"}
        return {"statusCode": error.status, "headers": plain | cors.headers(headers), "body": json.dumps(error.body())}
    answer = app.resolve(event, context)
    answer["multiValueHeaders"] |= {name: [value] for name, value in cors.headers(headers).items()}
    return answer


def _as_json(event: dict[str, Any]) -> dict[str, Any]:
    """A body is JSON whatever its Content-Type says: `curl -d` calls it a form."""
    kept = {name: value for name, value in (event.get("headers") or {}).items() if name.lower() != "content-type"}
    return event | {"headers": kept | {"content-type": "application/json"}, "isBase64Encoded": False}


def _answer[T](status: int, body: T, **headers: str) -> Response[T]:
    # Cache-Control: a health that a proxy has kept is no health
    return Response(
        status, content_type="application/json", body=body, headers={"Cache-Control": "no-store", **headers}
    )


def _seen(expected: Expected) -> IfMatch | None:
    return parse_if_match(", ".join(expected) if isinstance(expected, list) else expected)


def _shown(provider: Provider, status: int = 200, **headers: str) -> Response[ProviderView]:
    return _answer(status, provider_view(provider, datetime.now(UTC)), ETag=etag(provider), **headers)


def _changed(done: RegistrationResult, given: ReplacementIn | PatchIn) -> Response[ProviderView]:
    # The same key again is the remedy for one that cannot be decrypted: see at once whether it helps.
    if done.reset or (given.api_key is not None and done.provider.health.status == "failed"):
        _beat_soon(done.provider)
    return _shown(done.provider)


def _beat_soon(provider: Provider) -> None:
    """Starts a beat without waiting for it. If it cannot be started the next tick comes all the same."""
    if not provider.heartbeat.enabled:
        return
    try:
        payload = to_json(FirstBeat(provider.id))
        lambdas.invoke(FunctionName=settings.heartbeat_function, InvocationType="Event", Payload=payload)
    except (BotoCoreError, ClientError) as error:
        logger.warning("the first beat could not be started", extra={"reason": type(error).__name__})
