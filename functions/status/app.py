"""The status page, its data, badges, the feed of incidents and the state for monitors. It can read no key."""

import gc

# Garbage collections take a tenth of the init's CPU time and free almost nothing (docs/benchmarks.md).
gc.disable()

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from gateway.api.error_answer import error_answer
from gateway.api.status_routes import StatusRoutes
from gateway.core.boto import set_up_boto3
from gateway.core.cors import Cors
from gateway.core.errors import InternalError
from gateway.core.sam_local import require_local_aws
from gateway.core.telemetry import make_logger
from gateway.heartbeat.rollup_store import RollUpStore
from gateway.registry.overview import OverviewReader
from gateway.status.page import page_mode, status_page
from gateway.status.reader import StatusReader
from gateway.status.settings import StatusSettings

settings = StatusSettings.from_environ(os.environ)
require_local_aws(settings)
logger = make_logger("status", settings.log_level)
set_up_boto3()
dynamodb = boto3.resource("dynamodb")
reader = StatusReader(
    OverviewReader(dynamodb.Table(settings.providers_table)).all,
    RollUpStore(dynamodb.Table(settings.roll_ups_table)).read_summaries,
)
page = status_page(
    Path(__file__).with_name("status.html").read_text(encoding="utf-8"),
    page_mode(settings.status_page, local=settings.local),
)
routes = StatusRoutes(settings.status_page, page, reader)
cors = Cors(settings.allowed_origins)

# The objects of the init live as long as the function, so later collections skip them.
gc.freeze()
gc.enable()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answers a REST proxy event of a route under /status, and logs one line about it."""
    started, request_id = time.monotonic(), str(event["requestContext"]["requestId"])
    logger.append_keys(request_id=request_id)
    answer = _answer(event, {"X-Request-Id": request_id, **cors.headers(event.get("headers") or {})})
    request = {"method": event["httpMethod"], "route": event["resource"], "status": answer["statusCode"]}
    logger.info("api request", extra=request | {"duration_ms": round((time.monotonic() - started) * 1000)})
    return answer


def _answer(event: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    try:
        return routes.answer(event, headers, datetime.now(UTC))
    except Exception as error:
        logger.error("unforeseen", exc_info=error)
        return error_answer(InternalError(headers["X-Request-Id"]), headers)
