"""The provider API: registers providers and shows their health."""

import json
import os
from datetime import UTC, datetime
from typing import Annotated, Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body
from botocore.exceptions import BotoCoreError, ClientError

from gateway.endpoint import Reach
from gateway.errors import GatewayError, InvalidRequest
from gateway.invalid import invalid_request, require_object
from gateway.keys import KeyCipher
from gateway.models import ProviderIn, ProviderView, view
from gateway.providers import Providers
from gateway.registry import Registry
from gateway.settings import Settings
from gateway.telemetry import make_logger

settings = Settings(os.environ)
logger = make_logger("providers", settings.log_level)
lambdas = boto3.client("lambda")
providers = Providers(boto3.resource("dynamodb").Table(settings.providers_table))
registry = Registry(
    providers,
    KeyCipher(boto3.client("kms"), settings.keys_key),
    clock=lambda: datetime.now(UTC),
    reach=Reach(private_networks=settings.private_networks, loopback=settings.local),
)
app = APIGatewayRestResolver(enable_validation=True)

WITH_BODY = {"POST", "PUT", "PATCH"}


@app.post("/api/v1/providers")
def register(provider: Annotated[ProviderIn, Body()]) -> Response[ProviderView]:
    done = registry.register(provider)
    if done.reset:
        _beat_soon(done.provider.id)
    shown = view(done.provider, datetime.now(UTC))
    if done.created:
        return _answer(201, shown, Location=f"providers/{done.provider.id}")
    return _answer(200, shown)


@app.get("/api/v1/providers")
def list_providers() -> Response[list[ProviderView]]:
    now = datetime.now(UTC)
    return _answer(200, [view(provider, now) for provider in providers.all()])


@app.get("/api/v1/providers/<provider_id>")
def get_provider(provider_id: str) -> Response[ProviderView]:
    return _answer(200, view(providers.get(provider_id), datetime.now(UTC)))


@app.delete("/api/v1/providers/<provider_id>")
def delete_provider(provider_id: str) -> Response[str]:
    providers.delete(provider_id)
    return Response(status_code=204, content_type="text/plain", body="")  # the local API Gateway fails on a null


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


def refuse(error: GatewayError) -> Response[str]:
    return Response(status_code=error.status, content_type="application/json", body=json.dumps(error.body()))


def refuse_invalid(error: RequestValidationError) -> Response[str]:
    return refuse(invalid_request(error.errors()))


def refuse_unforeseen(error: Exception) -> Response[str]:
    logger.error("unforeseen", exc_info=error)
    return refuse(GatewayError("The gateway failed. Its logs say more under this X-Request-Id."))


app.exception_handler(GatewayError)(refuse)
app.exception_handler(RequestValidationError)(refuse_invalid)
app.exception_handler(Exception)(refuse_unforeseen)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A REST proxy event of an /api/v1 route or /health → its answer."""
    try:
        if event["httpMethod"] in WITH_BODY:
            require_object(event["body"])  # Powertools takes the first item of a list for the body
    except InvalidRequest as error:
        body = json.dumps(error.body())
        return {"statusCode": error.status, "headers": {"Content-Type": "application/json"}, "body": body}
    return app.resolve(event, context)


def _answer[T](status: int, body: T, **headers: str) -> Response[T]:
    # Cache-Control: a health that a proxy has kept is no health
    return Response(
        status, content_type="application/json", body=body, headers={"Cache-Control": "no-store", **headers}
    )


def _beat_soon(provider_id: str) -> None:
    """Starts a beat without waiting for it. If it cannot be started the next tick comes all the same."""
    try:
        payload = json.dumps({"provider_id": provider_id})
        lambdas.invoke(FunctionName=settings.heartbeat_function, InvocationType="Event", Payload=payload)
    except (BotoCoreError, ClientError) as error:
        logger.warning("the first beat could not be started", extra={"reason": type(error).__name__})
