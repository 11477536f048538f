"""Builds the path of a provider's URL from the route of a request and its path parameters."""

from collections.abc import Mapping
from urllib.parse import quote, unquote

from gateway.core.errors import InvalidRequest

MODEL = "{model+}"
MAX_MODEL_CHARACTERS = 256
INVALID_MODEL = "The model name in the path is not valid. GET /v1/models lists the models."


def provider_path(route: str, parameters: Mapping[str, str]) -> str:
    """Returns the path relative to the provider's endpoint. `route` may end in `{model+}`.

    The result never leaves the endpoint: `GET /v1/models/..%2f..%2fadmin` must not reach TokenHub's admin API with the
    stored key. Raises InvalidRequest.
    """
    if not route.endswith(MODEL):
        return route
    return route.removesuffix(MODEL) + _encode_model(parameters.get("model", ""))


def _encode_model(parameter: str) -> str:
    """Returns a model's name as one encoded segment, as the OpenAI SDK sends it.

    API Gateway decodes a path parameter once or not at all. An encoding that is left after decoding it here was
    meant to pass this check.
    """
    try:
        name = unquote(parameter, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest(INVALID_MODEL, param="model") from None
    segments = name.split("/")
    is_unsafe = any(segment in ("", ".", "..") for segment in segments) or "\\" in name or "%" in name
    if is_unsafe or not name.isprintable() or len(name) > MAX_MODEL_CHARACTERS:
        raise InvalidRequest(INVALID_MODEL, param="model")
    return quote(name, safe="")
