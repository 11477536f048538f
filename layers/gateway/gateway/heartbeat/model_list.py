"""Lists the models of a provider."""

import json
import uuid
from contextlib import closing
from typing import Any

from gateway.core.background import begin
from gateway.core.errors import DeadlineExceeded, ModelListUnusable
from gateway.core.redaction import redact_secrets
from gateway.proxy.reply import read_up_to
from gateway.proxy.request import ForwardRequest
from gateway.proxy.upstream import Target, Upstream
from gateway.proxy.upstream_errors import read_error_body, upstream_error

TIMEOUT_SECONDS = 10.0
# Leaves room below the 6 MB limit of Lambda's response.
MAX_BODY_BYTES = 5 * 1024 * 1024
CHECK_ENDPOINT = "Check that TokenHub listens there and that the endpoint ends in /v1."


def list_models(upstream: Upstream, target: Target, *, seconds: float = TIMEOUT_SECONDS) -> list[Any]:
    """Returns the `data` of `GET {endpoint}/models`, unchanged but for the key, which is redacted.

    TokenHub's `"data": null` becomes an empty list. Raises DeadlineExceeded after `seconds`, ModelListUnusable, and
    every ForwardingError.
    """
    # A socket timeout does not limit an answer that arrives one byte at a time.
    listing = begin(lambda: _fetch(upstream, target, seconds), "models")
    try:
        return listing.result(timeout=seconds)
    except TimeoutError:
        raise DeadlineExceeded(f"{target.endpoint} did not list its models within {seconds:g} s. Try again.") from None


def _fetch(upstream: Upstream, target: Target, seconds: float) -> list[Any]:
    request = ForwardRequest(
        method="GET",
        path="/models",
        request_id=f"models-{target.provider_id}-{uuid.uuid4().hex}",
        headers={"accept": "application/json", "user-agent": "tokenhub-gateway"},
    )
    secrets = [target.key] if target.key else []
    answer = upstream.forward(request, target, within=seconds)
    with closing(answer.chunks) as chunks:
        if answer.status >= 400:
            body = read_error_body(chunks, secrets)
            raise upstream_error(answer.status, body, secrets, headers=answer.headers)
        body, complete = read_up_to(MAX_BODY_BYTES, chunks)
    if answer.status != 200:
        raise ModelListUnusable(
            f"{target.endpoint}/models answered HTTP {answer.status} instead of HTTP 200. {CHECK_ENDPOINT}"
        )
    if not complete:
        raise ModelListUnusable("The provider's list of models is larger than 5 MB. Ask the provider itself for it.")
    return [_redact(model, secrets) for model in _parse(body, target.endpoint)]


def _parse(body: bytes, endpoint: str) -> list[Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and "data" in content:
        data = content["data"]
        if data is None or isinstance(data, list):
            return data or []
    raise ModelListUnusable(f"The answer of {endpoint}/models is not a list of models. {CHECK_ENDPOINT}")


def _redact(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        return redact_secrets(value, secrets)
    if isinstance(value, list):
        return [_redact(item, secrets) for item in value]
    if isinstance(value, dict):
        return {redact_secrets(name, secrets): _redact(item, secrets) for name, item in value.items()}
    return value
