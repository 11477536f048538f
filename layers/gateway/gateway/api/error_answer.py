"""Turns a GatewayError into a response for API Gateway. Without Powertools, to keep the preflight function small."""

import json
from collections.abc import Mapping
from typing import Any

from gateway.core.errors import GatewayError

JSON = "application/json"


def error_answer(error: GatewayError, headers: Mapping[str, str]) -> dict[str, Any]:
    """Returns a REST proxy response: the error's status, these headers, and the error as its JSON body."""
    return {
        "statusCode": error.status,
        "headers": {"content-type": JSON, **headers},
        "body": json.dumps(error.body()),
    }
