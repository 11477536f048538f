"""Translates a provider's chat completions to a Response. `responses_fallback.py` sends the request."""

import codecs
import json
import re
import time
from functools import partial
from typing import TYPE_CHECKING

from gateway.core.answer_errors import NotACompletion
from gateway.proxy.request_log import RequestLog
from gateway.proxy.sse import error_of, json_object
from gateway.proxy.upstream_errors import stream_error, upstream_error

if TYPE_CHECKING:
    from gateway.proxy.translate.responses_events import ResponseBuilder

JSON_CONTENT = {"content-type": "application/json"}
NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_]")


def response_builder(log: RequestLog) -> "ResponseBuilder | None":
    """Returns the translator of the answer. None if the provider serves Responses."""
    if log.translation is None:
        return None
    # Imported by the first request that needs it, so that it does not delay the cold start.
    from gateway.proxy.translate.responses_events import ResponseBuilder

    return ResponseBuilder(
        log.translation,
        suffix=NOT_IN_IDS.sub("", log.request.request_id),
        created_at=int(time.time()),
        stream_error=partial(stream_error, secrets=log.secrets),
    )


def whole_response(body: bytes, log: RequestLog) -> bytes:
    """Returns the Response for the body of a completion. Raises NotACompletion, or the error that the body reports.

    Sets the log's `response_id` to the id that the client receives.
    """
    completion, builder = json_object(body.removeprefix(codecs.BOM_UTF8)), response_builder(log)
    if completion is None or builder is None:
        raise NotACompletion(
            "The provider's answer is not a JSON object, or is longer than 32 MB. Request a shorter answer, or check "
            "the registered endpoint."
        )
    if error := error_of(completion):
        # Leaves out the rest, which may contain a part of the answer.
        reported = body if "choices" not in completion else json.dumps({"error": error}).encode()
        raise upstream_error(502, reported, log.secrets)
    response = builder.whole(completion)
    log.response_id = builder.id
    return response
