"""Answers CORS preflights, with which browsers check whether a web page may call the gateway.

Preflights carry no token, so this function does nothing else.

It is a separate function because `sam local` uses one authorizer for all methods of the same path and function.
"""

import logging
import os
from typing import Any

from gateway.api.error_answer import error_answer
from gateway.core.cors import Cors
from gateway.core.errors import OriginNotAllowed
from gateway.core.settings import PreflightSettings

settings = PreflightSettings.from_environ(os.environ)
logger = logging.getLogger("preflight")
logger.setLevel(settings.log_level)
cors = Cors(settings.allowed_origins)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answers an OPTIONS method on any path: 204 with the headers that allow the page, or 403. Logs one line."""
    request_id = event["requestContext"]["requestId"]
    response = _respond(event.get("headers") or {}, request_id)
    request = {"request_id": request_id, "method": event["httpMethod"], "route": event["resource"]}
    logger.info("api request", extra=request | {"status": response["statusCode"]})
    return response


def _respond(request: dict[str, str], request_id: str) -> dict[str, Any]:
    headers = {"X-Request-Id": request_id}
    try:
        return {"statusCode": 204, "headers": headers | cors.preflight(request), "body": ""}
    except OriginNotAllowed as error:
        return error_answer(error, headers | cors.headers(request))
