"""Answers browsers' preflights: whether a web page may call. They bring no token, so this function may do nothing else.

A function of its own also for `sam local`, which lets a path's methods of one function share an authorizer, or none.
"""

import json
import os
from typing import Any

from gateway.core.cors import Cors
from gateway.core.errors import OriginNotAllowed
from gateway.core.settings import PreflightSettings

settings = PreflightSettings.from_environ(os.environ)
cors = Cors(settings.allowed_origins)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """A REST proxy event of an OPTIONS method, on any path → 204 with the headers that let the page in, or 403."""
    headers = event.get("headers") or {}
    try:
        return {"statusCode": 204, "headers": cors.preflight(headers), "body": ""}
    except OriginNotAllowed as error:
        plain = {"content-type": "application/json"}
        return {
            "statusCode": error.status,
            "headers": plain | cors.headers(headers),
            "body": json.dumps(error.body()),
        }
