"""The models that a provider lists."""

import json
import uuid
from contextlib import closing
from typing import Any

from gateway.core.background import begin
from gateway.core.errors import DeadlineExceeded, ModelListUnusable
from gateway.core.redaction import without
from gateway.proxy.reply import read_up_to
from gateway.proxy.request import ForwardRequest
from gateway.proxy.upstream import Target, Upstream
from gateway.proxy.upstream_errors import MAX_ERROR_BODY_BYTES, upstream_error

SECONDS = 10.0
MAX_BODY_BYTES = 5 * 1024 * 1024  # so that Lambda's 6 MB hold the answer
IS_IT_TOKENHUB = "Is it TokenHub, and does the endpoint end in /v1?"


def list_models(upstream: Upstream, target: Target, *, seconds: float = SECONDS) -> list[Any]:
    """`GET {endpoint}/models` as it is; TokenHub's `"data": null` is an empty list. Waits for `seconds` at most.

    The key is taken out, should it be repeated there. Raises ModelListUnusable and every ForwardingError.
    """
    # No timeout of a socket is one of a whole answer, which may come a byte at a time.
    listing = begin(lambda: _list(upstream, target, seconds), "models")
    try:
        return listing.result(timeout=seconds)
    except TimeoutError:
        raise DeadlineExceeded(f"{target.endpoint} had not listed its models after {seconds:g} s. Try again.") from None


def _list(upstream: Upstream, target: Target, seconds: float) -> list[Any]:
    request = ForwardRequest(
        method="GET",
        path="/models",
        request_id=f"models-{target.provider_id}-{uuid.uuid4().hex}",
        headers={"accept": "application/json", "user-agent": "tokenhub-gateway"},
    )
    secrets = [target.key] if target.key else []
    answer = upstream.forward(request, target, within=seconds)
    with closing(answer.chunks) as chunks:
        body, complete = read_up_to(MAX_ERROR_BODY_BYTES if answer.status != 200 else MAX_BODY_BYTES, chunks)
    if answer.status >= 400:
        raise upstream_error(answer.status, body, secrets)
    if answer.status != 200:
        raise ModelListUnusable(f"{target.endpoint}/models answers HTTP {answer.status}, and no list. {IS_IT_TOKENHUB}")
    if not complete:
        raise ModelListUnusable("The provider's list of models is larger than 5 MB, and the gateway cannot show it.")
    return [_without(secrets, model) for model in _data(body, target.endpoint)]


def _data(body: bytes, endpoint: str) -> list[Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and "data" in content:
        data = content["data"]
        if data is None or isinstance(data, list):
            return data or []
    raise ModelListUnusable(f"What {endpoint}/models answers is no list of models. {IS_IT_TOKENHUB}")


def _without(secrets: list[str], value: Any) -> Any:
    if isinstance(value, str):
        return without(value, secrets)
    if isinstance(value, list):
        return [_without(secrets, found) for found in value]
    if isinstance(value, dict):
        return {without(name, secrets): _without(secrets, found) for name, found in value.items()}
    return value
