"""The OpenAPI 3.1 document: Powertools' document of the provider API, with descriptions, all errors and /v1 added."""

from http import HTTPStatus
from typing import Any

from gateway.api.operations import OPERATIONS, PARAMETERS, Operation, codes, needs_token
from gateway.api.status_operations import status_operation
from gateway.api.views import ErrorView, status_schemas
from gateway.proxy.caller_metadata import MAX_CHARACTERS, MAX_ENTRIES
from gateway.proxy.paths import MAX_MODEL_CHARACTERS

Json = dict[str, Any]

INFO = {
    "title": "tokenhub-gateway",
    "version": "1",
    "description": "A serverless gateway to TokenHub. Every error has one shape; docs/errors.md lists the codes.",
}
SCHEMAS = "#/components/schemas/"
# Powertools' schemas of its 422 answers. The gateway answers 400 with an ErrorView.
UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError", "ResponseValidationError")
# Powertools writes header names in lower case.
PARAMETER_NAMES = {"provider_id": "id", "if-match": "If-Match"}
TOKENS = {
    "AdminToken": {"type": "http", "scheme": "bearer", "description": "Allows everything."},
    "ClientToken": {"type": "http", "scheme": "bearer", "description": "Allows /v1 and the status page."},
}
API_KEYS = {
    "AdminApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The admin token."},
    "ClientApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The client token."},
}
ADMIN: Json = {"AdminToken": []}
CLIENT: Json = {"ClientToken": []}
# 529 is Anthropic's own.
PHRASES = {str(status.value): status.phrase for status in HTTPStatus} | {"529": "Overloaded"}
ANTHROPIC = "/anthropic/v1/"
STREAMING_PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/chat", "/v1/completions", "/v1/responses")

PROVIDER_ID_PARAMETER = {
    "name": "X-Provider-Id",
    "in": "header",
    "description": "The provider that gets the request. Without it, the default provider",
    "schema": {"type": "string"},
}
METADATA_PARAMETER = {
    "name": "X-Gateway-Metadata",
    "in": "header",
    "description": f"Labels for the log line: JSON, up to {MAX_ENTRIES} strings of up to {MAX_CHARACTERS} characters",
    "schema": {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {
            "type": "object",
            "maxProperties": MAX_ENTRIES,
            "propertyNames": {"maxLength": MAX_CHARACTERS},
            "additionalProperties": {"type": "string", "maxLength": MAX_CHARACTERS},
        },
    },
}
MODEL_PARAMETER = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "The model's name. It may contain slashes",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_MODEL_CHARACTERS},
}


def _header(description: str, **schema: Any) -> Json:
    return {"description": description, "schema": {"type": "string", **schema}}


REQUEST_ID = {"X-Request-Id": _header("The id of the request, which is also in its log line")}
FORWARDED_HEADERS = REQUEST_ID | {
    "Request-Id": _header("The same id, where the Anthropic SDK reads it"),
    "X-Provider-Id": _header("The provider that got the request"),
    "X-Provider-Status": _header("`failed` if its last heartbeat failed"),
    "X-Model-Substituted": _header("`true` if a model other than the requested one answered"),
    "X-Translated": _header(
        "`anthropic`: the gateway translated the stream to OpenAI's chunks. `responses`: it translated chat "
        "completions to a Response"
    ),
}
FORWARDED_ERROR_HEADERS = FORWARDED_HEADERS | {
    "X-Error-Source": _header("Where the error comes from", enum=["gateway", "tokenhub", "model"]),
    "X-Should-Retry": _header("`false` if a retry is useless"),
    "Retry-After": _header("When to try again: seconds or a date, as the provider sent it"),
    "Retry-After-Ms": _header("When to try again, in milliseconds, as the provider sent it"),
}
ETAG = {"ETag": _header("A tag of the registered fields, for If-Match. Heartbeats do not change it")}
LOCATION = {"Location": _header("The relative URL of the provider")}
MODEL = {"type": "string", "description": "Without it, the registered model of the provider"}
MESSAGES = {"type": "array", "items": {"type": "object"}, "minItems": 1}
STREAM = {"type": "boolean", "default": False}
INPUT = {"type": ["string", "array"], "description": "A text, or a list of items"}
CHAT_REQUEST = {"type": "object", "required": ["messages"], "properties": {"messages": MESSAGES}}
STREAMED_CHAT_REQUEST = CHAT_REQUEST | {"properties": {"messages": MESSAGES, "stream": STREAM}}
BODIES: dict[str, Json] = {
    "/v1/chat/completions": {
        "required": ["messages"],
        "properties": {"model": MODEL, "messages": MESSAGES, "stream": STREAM},
    },
    "/v1/embeddings": {
        "required": ["model", "input"],
        "properties": {"model": {"type": "string", "minLength": 1}, "input": {}},
    },
    "/v1/messages": {
        "required": ["messages", "max_tokens"],
        "properties": {"model": MODEL, "messages": MESSAGES, "max_tokens": {"type": "integer"}, "stream": STREAM},
    },
    "/v1/messages/count_tokens": {"required": ["messages"], "properties": {"model": MODEL, "messages": MESSAGES}},
    "/v1/completions": {"required": ["prompt"], "properties": {"model": MODEL, "prompt": {}, "stream": STREAM}},
    "/v1/responses": {"required": ["input"], "properties": {"model": MODEL, "input": INPUT, "stream": STREAM}},
    "/v1/chat": {"required": ["request"], "properties": {"request": STREAMED_CHAT_REQUEST}},
    "/v1/plan": {"required": ["request"], "properties": {"request": CHAT_REQUEST}},
}


def document(generated: Json) -> Json:
    """Returns the whole document, from the one that Powertools generated. It lacks `servers`: they depend on the
    request."""
    paths = {path.replace("{provider_id}", "{id}"): item for path, item in generated["paths"].items()}
    for path, item in paths.items():
        for method, operation in item.items():
            _correct_input(operation)
            _describe(operation, path, method)
    for method, path in OPERATIONS:
        if path.startswith(("/v1/", ANTHROPIC)):
            paths.setdefault(path, {})[method] = _forwarded(path, method)
        elif path.startswith("/status"):
            paths.setdefault(path, {})[method] = operation = status_operation(path)
            _describe(operation, path, method)
    schemas = {name: s for name, s in generated["components"]["schemas"].items() if name not in UNUSED_SCHEMAS}
    return {
        "openapi": generated["openapi"],
        "info": INFO,
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted((schemas | _error_schemas() | status_schemas(f"{SCHEMAS}{{model}}")).items())),
            "securitySchemes": TOKENS | API_KEYS,
        },
    }


def base_path(path: str | None, resource: str) -> str:
    """Returns the part of a request's path before the resource: `/prod` for a stage, `/` if there is none.

    It is relative to the root, because schemathesis and code generators lose the stage of a server like `../..`.
    """
    return (path or "").removesuffix(resource).rstrip("/") or "/"


def _correct_input(operation: Json) -> None:
    """Describes the parameters, and removes Powertools' 422, because the gateway answers invalid input with 400."""
    operation["responses"].pop("422", None)
    for parameter in operation.get("parameters", ()):
        name = PARAMETER_NAMES.get(parameter["name"], parameter["name"])
        parameter.update({"name": name, "schema": _without_null(parameter["schema"])} | PARAMETERS.get(name, {}))


def _without_null(schema: Json) -> Json:
    """Powertools declares optional parameters as nullable. A query or a header has no null."""
    types = [type_ for type_ in schema.get("anyOf", ()) if type_ != {"type": "null"}]
    return types[0] if len(types) == 1 else schema


def _describe(operation: Json, path: str, method: str) -> None:
    """Adds name, descriptions, token, answers and errors. A route that is not in OPERATIONS keeps Powertools' texts."""
    known = OPERATIONS.get((method, path)) or Operation(operation["operationId"], operation["summary"])
    description = {"description": known.description} if known.description else {}
    operation |= {"operationId": known.name, "summary": known.summary, "security": _security(path)} | description
    answers = _success(operation["responses"], method, known) | _errors(path, method, known)
    for answer in answers.values():
        answer["headers"] = REQUEST_ID | answer.get("headers", {})
        if method == "head":
            answer.pop("content", None)
    operation["responses"] = dict(sorted(answers.items()))


def _success(answers: Json, method: str, known: Operation) -> Json:
    if method == "delete":
        return {"204": {"description": "Deleted"}}
    ok = answers["200"] | {"description": "Success"}
    if known.etag:
        ok["headers"] = ETAG
    created = {"201": ok | {"description": "Created", "headers": ETAG | LOCATION}} if known.created else {}
    return answers | {"200": ok} | created


def _security(path: str) -> list[Json]:
    if path.startswith("/api/"):
        return [ADMIN]
    if path.startswith(ANTHROPIC):
        return [{"ClientApiKey": []}, {"AdminApiKey": []}]
    return [CLIENT, ADMIN] if needs_token(path) else []


def _errors(path: str, method: str, known: Operation) -> Json:
    return {status: _error(status, error_codes) for status, error_codes in codes(method, path, known).items()}


def _error(status: str, error_codes: list[str]) -> Json:
    phrase = PHRASES.get(status, "Any other")
    code_list = ", ".join(f"`{code}`" for code in error_codes)
    content = {"application/json": {"schema": {"$ref": f"{SCHEMAS}ErrorView"}}}
    return {"description": f"{phrase}: {code_list}", "content": content}


def _error_schemas() -> Json:
    error = ErrorView.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
    return dict(error.pop("$defs")) | {"ErrorView": error}


def _forwarded(path: str, method: str) -> Json:
    """Returns an operation of /v1 or /anthropic/v1. Its request schema has only what the gateway checks."""
    content: Json = {"application/json": {"schema": {"type": "object"}}}
    same_path = path.removeprefix("/anthropic")
    if same_path in STREAMING_PATHS:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    if path == "/v1/chat":
        # TokenHub sends its JSON with this content type there.
        content["text/plain"] = {"schema": {"type": "string"}}
    parameters = [MODEL_PARAMETER] * path.endswith("/{model}") + [PROVIDER_ID_PARAMETER, METADATA_PARAMETER]
    operation: Json = {"parameters": parameters, "operationId": "", "summary": ""}
    if same_path in BODIES:
        schema = {"type": "object"} | BODIES[same_path]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    operation["responses"] = {"200": {"content": content}}
    _describe(operation, path, method)
    for answer in operation["responses"].values():
        answer["headers"] = FORWARDED_ERROR_HEADERS
    operation["responses"]["200"] |= {
        "description": "The provider's answer, byte for byte, except where X-Translated names a translation",
        "headers": FORWARDED_HEADERS,
    }
    return operation
