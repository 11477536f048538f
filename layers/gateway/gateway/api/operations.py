"""What each call of the gateway does and how it may fail, for the OpenAPI document: what code cannot tell of itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.core import errors
from gateway.proxy.upstream_errors import FALLBACK_ERRORS, KNOWN_ERRORS, PATH_STATUSES, KnownError
from gateway.registry.provider import PROVIDER_ID

# API Gateway's own answers (template.yaml, GatewayResponses), by the status of each. On every call:
DOOR = {
    "400": ["bad_request"],
    "429": ["throttled"],
    "4XX": ["bad_request"],
    "500": ["authorizer_failed", "gateway_error"],
    "502": ["gateway_error"],
    "504": ["gateway_timeout"],
    "5XX": ["gateway_error"],
}
WITH_TOKEN = {"401": ["unauthorized"], "403": ["forbidden"]}
WITH_BODY = {"413": ["request_too_large"]}

TAG = r'(W/)?"[!#-~]*"'
# 24 hours at most: 1440 minutes
WIDTH = "^([1-9]|1[0-9]|2[0-4])h$|^([1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m$"

Errors = tuple[type[errors.GatewayError], ...]

UNKNOWN: Errors = (errors.ProviderNotFound,)
REFUSED: Errors = (
    errors.Conflict,
    errors.ApiKeyRequired,
    errors.DefaultProviderNeeded,
    errors.RegistryBusy,
    errors.KeyServiceFailed,
)
INVALID: Errors = (errors.InvalidRequest, errors.InvalidEndpoint)
CHANGED: Errors = (*INVALID, *REFUSED, errors.PreconditionFailed)
ASKED: Errors = (*UNKNOWN, errors.HeartbeatFailed, errors.HeartbeatTimeout)


@dataclass(frozen=True)
class Operation:
    """One method of one path. `etag`: its answer is one provider, whose tag goes with it. `provider`: the provider's
    own refusals come through, too."""

    name: str
    summary: str
    description: str = ""
    errors: Errors = ()
    created: bool = False
    etag: bool = False
    provider: bool = False


def _families(base: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
    yield base
    for below in base.__subclasses__():
        yield from _families(below)


def _on_the_way(*but: type[errors.GatewayError]) -> Errors:
    """All that can happen between the gateway and the provider, but for some."""
    abstract = (errors.ForwardingError, errors.ProviderError)
    return tuple(error for error in _families(errors.ForwardingError) if error not in (*abstract, *but))


FORWARDED: Errors = (
    *UNKNOWN,
    errors.InvalidRequest,
    errors.NoProvider,
    errors.KeyServiceFailed,
    *_on_the_way(errors.ModelListUnusable),
)
LISTED: Errors = (*ASKED, errors.KeyServiceFailed, *_on_the_way(errors.NotAStream, errors.StreamTruncated))
STREAMED = (
    "With `stream` true the answer is server-sent events as the provider sends them. A whole stream ends with `[DONE]` "
    "(or `message_stop`); one that broke ends with an `error` event and without it."
)

OPERATIONS = {
    ("post", "/api/v1/providers"): Operation(
        "register_provider",
        "Register a provider, or replace it by its id",
        "The same again changes nothing. Without `api_key` the stored key is kept; an empty one removes it.",
        (*CHANGED, errors.TooManyProviders),
        created=True,
        etag=True,
    ),
    ("get", "/api/v1/providers"): Operation("list_providers", "All providers, newest first"),
    ("get", "/api/v1/providers/{id}"): Operation(
        "get_provider", "One provider and its health", errors=UNKNOWN, etag=True
    ),
    ("put", "/api/v1/providers/{id}"): Operation(
        "replace_provider",
        "Replace a provider, never create one",
        "What is left out is as in a registration: `api_key`, `default` and `heartbeat` are kept, the rest takes its "
        "default. `id` may be left out.",
        (*UNKNOWN, *CHANGED),
        etag=True,
    ),
    ("patch", "/api/v1/providers/{id}"): Operation(
        "change_provider",
        "Change the fields that are given",
        "What is left out stays, also inside `heartbeat`. `null` removes a model; an empty `api_key` removes the key.",
        (*UNKNOWN, *CHANGED),
        etag=True,
    ),
    ("delete", "/api/v1/providers/{id}"): Operation(
        "delete_provider",
        "Delete a provider",
        "The default provider can be deleted only when it is the last.",
        (
            *UNKNOWN,
            errors.InvalidRequest,
            errors.DefaultProviderNeeded,
            errors.PreconditionFailed,
            errors.RegistryBusy,
        ),
    ),
    ("get", "/api/v1/providers/{id}/heartbeats"): Operation(
        "list_heartbeats",
        "The kept heartbeats, of the last seven days unless the gateway was deployed otherwise, newest first",
        "With `bucket` they are counted per stretch of time instead, without a gap from now to the oldest one; "
        "`limit` and `before` then count buckets. A bucket's latency is that of its good beats.",
        (*UNKNOWN, errors.InvalidRequest),
    ),
    ("post", "/api/v1/providers/{id}/heartbeat"): Operation(
        "beat_now",
        "One heartbeat now, awaited, also of a provider whose heartbeats are disabled",
        "Answers 200 whatever the outcome was: look at `status`. No body is needed.",
        ASKED,
    ),
    ("get", "/api/v1/providers/{id}/models"): Operation(
        "list_provider_models",
        "The models that the provider lists, as it lists them",
        "A provider's own upstream_error keeps its status.",
        LISTED,
        provider=True,
    ),
    ("get", "/api/v1/openapi.json"): Operation("get_openapi", "This document"),
    ("get", "/health"): Operation("health", "Whether the gateway answers, without a token"),
    ("post", "/v1/chat/completions"): Operation(
        "create_chat_completion", "OpenAI chat completion", STREAMED, FORWARDED, provider=True
    ),
    ("post", "/v1/embeddings"): Operation("create_embedding", "OpenAI embeddings", "", FORWARDED, provider=True),
    ("post", "/v1/messages"): Operation("create_message", "Anthropic message", STREAMED, FORWARDED, provider=True),
    ("post", "/v1/chat"): Operation("create_chat", "TokenHub's own chat", STREAMED, FORWARDED, provider=True),
    ("post", "/v1/plan"): Operation("create_plan", "TokenHub's own orchestration", "", FORWARDED, provider=True),
    ("get", "/v1/models"): Operation("list_models", "TokenHub's models", "", FORWARDED, provider=True),
}

PARAMETERS: dict[str, dict[str, Any]] = {
    "id": {"description": "The provider's id", "schema": {"type": "string", "pattern": f"^{PROVIDER_ID}$"}},
    "If-Match": {
        "description": "The ETag of the last answer, several with commas between, or * for any: 412 if it has changed",
        "schema": {"type": "string", "pattern": rf"^(\*|{TAG}(, ?{TAG})*)$"},
    },
    "limit": {"description": "How many at most"},
    "before": {"description": "The `next` of an earlier answer: what is older follows"},
    "bucket": {
        "description": "How long a bucket is: minutes or hours, 1m to 24h; buckets begin at whole multiples of it, UTC",
        "schema": {"type": "string", "pattern": WIDTH},
    },
}


def codes(method: str, path: str, call: Operation) -> dict[str, list[str]]:
    """Every error code that a call can answer, by status; `4XX` and `5XX` stand for any other one."""
    found: dict[str, list[str]] = {}
    every: Errors = (errors.GatewayError, *call.errors)
    for error in every:
        found.setdefault(str(error.status), []).append(error.code)
    for upstream_error in KNOWN_ERRORS if call.provider else ():
        found.setdefault(str(upstream_error.status), []).append(upstream_error.code)
    token = {} if path == "/health" else WITH_TOKEN
    body = WITH_BODY if method in {"post", "put", "patch"} else {}
    for status, more in (*DOOR.items(), *token.items(), *body.items()):
        found.setdefault(status, []).extend(more)
    for upstream_error in FALLBACK_ERRORS if call.provider else ():
        for status in _any_other(upstream_error, found):
            found[status].append(upstream_error.code)
    return {status: sorted(set(found[status])) for status in sorted(found)}


def _any_other(upstream_error: KnownError, found: Iterable[str]) -> list[str]:
    """The statuses that it may come with: those of its hundred, because a web page may come with each, but for those
    that have one code whoever says it."""
    return [at for at in found if at[0] == str(upstream_error.status)[0] and at not in map(str, PATH_STATUSES)]
