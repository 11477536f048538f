"""The operations of the gateway's API for the OpenAPI document: their descriptions and their errors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gateway.api import responses_route
from gateway.core import errors, request_errors, status_errors
from gateway.proxy.known_errors import (
    FALLBACK_ERRORS,
    KNOWN_ERRORS,
    MODEL_ERRORS,
    MODEL_FALLBACK_ERRORS,
    PATH_STATUSES,
    KnownError,
)
from gateway.registry.provider import PROVIDER_ID
from gateway.status.badge import MEASURES

# API Gateway's own error codes (template.yaml, GatewayResponses) by status. Every operation has these.
API_GATEWAY_CODES = {
    "400": ["bad_request"],
    "429": ["throttled"],
    "4XX": ["bad_request"],
    "500": ["authorizer_failed", "gateway_error"],
    "502": ["gateway_error"],
    "504": ["gateway_timeout"],
    "5XX": ["gateway_error"],
}
TOKEN_CODES = {"401": ["unauthorized"], "403": ["forbidden"]}
BODY_CODES = {"413": ["request_too_large"]}

ETAG = r'(W/)?"[!#-~]*"'
# The width of a bucket: 24 hours or 1440 minutes at most.
BUCKET_WIDTH = "^([1-9]|1[0-9]|2[0-4])h$|^([1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m$"

Errors = tuple[type[errors.GatewayError], ...]

NOT_FOUND: Errors = (errors.ProviderNotFound,)
INVALID: Errors = (errors.InvalidRequest, errors.InvalidEndpoint)
OFF: Errors = (status_errors.StatusPageOff,)
CHANGE_ERRORS: Errors = (
    *INVALID,
    errors.Conflict,
    errors.ApiKeyRequired,
    errors.DefaultProviderNeeded,
    errors.RegistryBusy,
    errors.KeyServiceFailed,
    errors.PreconditionFailed,
)
HEARTBEAT_ERRORS: Errors = (*NOT_FOUND, errors.HeartbeatFailed, errors.HeartbeatTimeout)


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    `created`: it may answer 201. `etag`: it returns one provider with its ETag. `provider`: it forwards the provider's
    errors.
    """

    name: str
    summary: str
    description: str = ""
    errors: Errors = ()
    created: bool = False
    etag: bool = False
    provider: bool = False


def _subclasses(base: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
    for subclass in base.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _forwarding_errors(*excluded: type[errors.GatewayError]) -> Errors:
    """All errors between the gateway and the provider, except `excluded`, those of translated Responses, and
    ProviderError, which has no fixed code."""
    all_excluded = (errors.ProviderError, *responses_route.ERRORS, *excluded)
    return tuple(e for e in _subclasses(errors.ForwardingError) if e not in all_excluded)


REQUEST_ERRORS: Errors = (
    *NOT_FOUND,
    errors.InvalidRequest,
    request_errors.InvalidMetadata,
    errors.NoProvider,
    errors.KeyServiceFailed,
    *_forwarding_errors(errors.ModelListUnusable),
)
RESPONSE_ERRORS: Errors = (*REQUEST_ERRORS, *responses_route.ERRORS)
MODEL_LIST_ERRORS: Errors = (
    *HEARTBEAT_ERRORS,
    errors.KeyServiceFailed,
    *_forwarding_errors(errors.NotAStream, errors.StreamTruncated),
)
STREAMS = (
    "With `stream` true the answer is server-sent events, as the provider sends them. Only on /v1/chat/completions, a "
    "stream of Anthropic events is translated to OpenAI's chunks. A complete stream ends with "
    "`[DONE]` or `message_stop`. An incomplete stream ends with an `error` event instead."
)

PUBLIC = "Needs no token. 404 unless the parameter StatusPage is `public`."
UNSERVED = "TokenHub does not serve this route and answers 404; other providers may serve it."
USE_CHAT = "Use `/v1/chat/completions` with TokenHub."

OPERATIONS = {
    ("post", "/api/v1/providers"): Operation(
        "register_provider",
        "Register a provider, or replace the one with this id",
        "Repeating a registration changes nothing. Without `api_key` the stored key stays; an empty one removes it.",
        (*CHANGE_ERRORS, errors.TooManyProviders),
        created=True,
        etag=True,
    ),
    ("get", "/api/v1/providers"): Operation("list_providers", "All providers, newest first"),
    ("get", "/api/v1/providers/{id}"): Operation(
        "get_provider", "One provider and its health", errors=NOT_FOUND, etag=True
    ),
    ("put", "/api/v1/providers/{id}"): Operation(
        "replace_provider",
        "Replace an existing provider",
        "As in a registration, `api_key`, `default`, `heartbeat` and `muted_until` keep their values if they are left "
        "out, and other fields get their defaults. `id` may be left out. `null` ends a mute.",
        (*NOT_FOUND, *CHANGE_ERRORS),
        etag=True,
    ),
    ("patch", "/api/v1/providers/{id}"): Operation(
        "change_provider",
        "Change some fields of a provider",
        "Fields that are left out keep their values, also inside `heartbeat`. `null` removes a model or `max_tokens`, "
        "and ends a mute; an empty `api_key` removes the key. Until `muted_until`, at most 30 days ahead, failures "
        "raise no alarm.",
        (*NOT_FOUND, *CHANGE_ERRORS),
        etag=True,
    ),
    ("delete", "/api/v1/providers/{id}"): Operation(
        "delete_provider",
        "Delete a provider",
        "The default provider can be deleted only if it is the last one.",
        (
            *NOT_FOUND,
            errors.InvalidRequest,
            errors.DefaultProviderNeeded,
            errors.PreconditionFailed,
            errors.RegistryBusy,
        ),
    ),
    ("get", "/api/v1/providers/{id}/heartbeats"): Operation(
        "list_heartbeats",
        "The heartbeats of a provider, newest first",
        "The gateway stores them for seven days, or for HistoryDays. With `bucket` the answer "
        "has counts per bucket of time instead, without gaps from now to the oldest heartbeat; `limit` and `before` "
        "then count buckets. A bucket's latency covers its good heartbeats only.",
        (*NOT_FOUND, errors.InvalidRequest),
    ),
    ("get", "/api/v1/providers/{id}/uptime"): Operation(
        "get_uptime",
        "The uptime of a provider in the last 24 hours, 7, 30 and 90 days",
        "Counted every half hour from the stored heartbeats and stored for 400 days. The last 24 hours are 48 half "
        "hours, and the other periods are whole UTC days including today.",
        NOT_FOUND,
    ),
    ("get", "/api/v1/providers/{id}/incidents"): Operation(
        "list_incidents",
        "The incidents of a provider, newest first",
        "An incident is a series of failed heartbeats. The gateway stores the first 50 of each UTC day for 400 days.",
        (*NOT_FOUND, errors.InvalidRequest),
    ),
    ("post", "/api/v1/providers/{id}/heartbeat"): Operation(
        "beat_now",
        "Run one heartbeat now and wait for its result, even if heartbeats are disabled",
        "Answers 200 whatever the result is: see `status`. The body is ignored.",
        HEARTBEAT_ERRORS,
    ),
    ("get", "/api/v1/providers/{id}/models"): Operation(
        "list_provider_models",
        "The models that the provider lists, unchanged",
        "An error of the provider keeps its status.",
        MODEL_LIST_ERRORS,
        provider=True,
    ),
    ("get", "/api/v1/openapi.json"): Operation("get_openapi", "This document"),
    ("get", "/health"): Operation("health", "Whether the gateway answers. Needs no token"),
    ("head", "/health"): Operation("health_head", "The same without a body, for load balancers"),
    ("post", "/v1/chat/completions"): Operation(
        "create_chat_completion", "OpenAI chat completion", STREAMS, REQUEST_ERRORS, provider=True
    ),
    ("post", "/v1/embeddings"): Operation("create_embedding", "OpenAI embeddings", "", REQUEST_ERRORS, provider=True),
    ("post", "/v1/messages"): Operation("create_message", "Anthropic message", STREAMS, REQUEST_ERRORS, provider=True),
    ("post", "/v1/chat"): Operation("create_chat", "TokenHub's own chat", STREAMS, REQUEST_ERRORS, provider=True),
    ("post", "/v1/plan"): Operation("create_plan", "TokenHub's own orchestration", "", REQUEST_ERRORS, provider=True),
    ("get", "/v1/models"): Operation("list_models", "TokenHub's models", "", REQUEST_ERRORS, provider=True),
    ("get", "/v1/models/{model}"): Operation(
        "get_model", "One model", f"{UNSERVED} `GET /v1/models` lists the models.", REQUEST_ERRORS, provider=True
    ),
    ("post", "/v1/completions"): Operation(
        "create_completion", "OpenAI legacy completion", f"{UNSERVED} {USE_CHAT}", REQUEST_ERRORS, provider=True
    ),
    ("post", "/v1/responses"): Operation(
        "create_response", "OpenAI response", responses_route.DESCRIPTION, RESPONSE_ERRORS, provider=True
    ),
    ("post", "/v1/messages/count_tokens"): Operation(
        "count_tokens",
        "Anthropic token count",
        f"{UNSERVED} The usage of a message has its token counts.",
        REQUEST_ERRORS,
        provider=True,
    ),
}
OPERATIONS |= {
    ("get", "/status"): Operation("status_page", "The status page, in HTML. It asks for a token", errors=OFF),
    ("get", "/status/data"): Operation(
        "status_data",
        "The states, causes, uptime and incidents of all providers",
        "Failed providers come first. At most 15 seconds old.",
        (*OFF, errors.InvalidRequest),
    ),
    ("get", "/status/public/data"): Operation(
        "public_status_data", "The same without causes and models", PUBLIC, (*OFF, errors.InvalidRequest)
    ),
    ("get", "/status/public/feed.atom"): Operation("status_feed", "Atom feed of the incidents", PUBLIC, OFF),
    ("get", "/status/public/{id}/badge.svg"): Operation(
        "status_badge", "A badge of a provider", PUBLIC, (*OFF, *NOT_FOUND, errors.InvalidRequest)
    ),
    ("get", "/status/public/{id}/shields.json"): Operation(
        "status_shields", "The same badge for shields.io", PUBLIC, (*OFF, *NOT_FOUND, errors.InvalidRequest)
    ),
    ("get", "/status/public/{id}/live"): Operation(
        "status_live",
        "200 while the provider is healthy and not stale, else 503",
        PUBLIC,
        (*OFF, *NOT_FOUND, status_errors.ProviderNotHealthy),
    ),
    ("head", "/status/public/{id}/live"): Operation(
        "status_live_head",
        "The same without a body, for load balancers",
        PUBLIC,
        (*OFF, *NOT_FOUND, status_errors.ProviderNotHealthy),
    ),
}
# The same operations for clients that send x-api-key.
OPERATIONS |= {
    (method, f"/anthropic{path}"): replace(OPERATIONS[method, path], name=f"{OPERATIONS[method, path].name}_by_api_key")
    for method, path in (
        ("post", "/v1/messages"),
        ("post", "/v1/messages/count_tokens"),
        ("get", "/v1/models"),
        ("get", "/v1/models/{model}"),
    )
}

PARAMETERS: dict[str, dict[str, Any]] = {
    "id": {"description": "The provider's id", "schema": {"type": "string", "pattern": f"^{PROVIDER_ID}$"}},
    "If-Match": {
        "description": "The ETag of the last answer, a comma list of ETags, or * for any. 412 if none matches",
        "schema": {"type": "string", "pattern": rf"^(\*|{ETAG}(, ?{ETAG})*)$"},
    },
    "limit": {"description": "The maximum number of items"},
    "before": {"description": "The `next` of an earlier answer: the answer has older items"},
    "bucket": {
        "description": "The width of a bucket in minutes or hours, 1m to 24h. Buckets begin at its multiples, UTC",
        "schema": {"type": "string", "pattern": BUCKET_WIDTH},
    },
    "page": {
        "description": "The page of 50 providers, counted from 1. A page after the last one is the last one",
        "schema": {"type": "integer", "minimum": 1, "maximum": 9999, "default": 1},
    },
    "of": {"description": "What the badge shows", "schema": {"enum": list(MEASURES), "default": MEASURES[0]}},
}


def needs_token(path: str) -> bool:
    """Whether the authorizer checks the token of a path."""
    return path not in ("/health", "/status") and not path.startswith("/status/public/")


def codes(method: str, path: str, operation: Operation) -> dict[str, list[str]]:
    """Returns the error codes that an operation can answer, by status. `4XX` and `5XX` stand for all other statuses."""
    by_status: dict[str, list[str]] = {}
    possible: Errors = (errors.GatewayError, *operation.errors)
    for error in (*possible, *((*KNOWN_ERRORS, *MODEL_ERRORS) if operation.provider else ())):
        by_status.setdefault(str(error.status), []).append(error.code)
    token = TOKEN_CODES if needs_token(path) else {}
    body = BODY_CODES if method in {"post", "put", "patch"} else {}
    for status, more in (*API_GATEWAY_CODES.items(), *token.items(), *body.items()):
        by_status.setdefault(status, []).extend(more)
    for fallback in (*FALLBACK_ERRORS, *MODEL_FALLBACK_ERRORS) if operation.provider else ():
        for status in _fallback_statuses(fallback, by_status):
            by_status[status].append(fallback.code)
    return {status: sorted(set(by_status[status])) for status in sorted(by_status)}


def _fallback_statuses(fallback: KnownError, statuses: Iterable[str]) -> list[str]:
    """The statuses with which a fallback error may come: all of its class, because a web page in front of TokenHub may
    answer any of them. TokenHub's own errors with one of PATH_STATUSES always have one code."""
    excluded = map(str, PATH_STATUSES if fallback.source == "tokenhub" else ())
    return [status for status in set(statuses) - set(excluded) if status[0] == str(fallback.status)[0]]
