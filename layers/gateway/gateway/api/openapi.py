"""The OpenAPI 3.1 document: what Powertools knows of the provider API, in our words, with /v1 and every error added."""

from http import HTTPStatus
from typing import Any

from gateway.api.operations import OPERATIONS, PARAMETERS, Operation, codes
from gateway.api.views import ErrorView

Json = dict[str, Any]

INFO = {
    "title": "tokenhub-gateway",
    "version": "1",
    "description": "The serverless front door to TokenHub. Every error has one shape; docs/errors.md lists the codes.",
}
SCHEMAS = "#/components/schemas/"
UNUSED = ("HTTPValidationError", "ValidationError", "ResponseValidationError")  # ours are 400s in the one shape
NAMES = {"provider_id": "id", "if-match": "If-Match"}  # Powertools writes headers small
TOKENS = {
    "AdminToken": {"type": "http", "scheme": "bearer", "description": "Opens everything."},
    "ClientToken": {"type": "http", "scheme": "bearer", "description": "Opens /v1."},
}
ADMIN: Json = {"AdminToken": []}
CLIENT: Json = {"ClientToken": []}
ANSWERED_BY_STREAMS = ("/v1/chat/completions", "/v1/messages", "/v1/chat")

WHICH_PROVIDER = {
    "name": "X-Provider-Id",
    "in": "header",
    "description": "The provider that the request is for; the default one otherwise",
    "schema": {"type": "string"},
}
ANSWER_HEADERS = {
    "X-Request-Id": {"schema": {"type": "string"}},
    "X-Provider-Id": {"description": "Who answered", "schema": {"type": "string"}},
    "X-Provider-Status": {"description": "failed, where its last heartbeat was", "schema": {"type": "string"}},
    "X-Model-Substituted": {"description": "true: another model than the one asked for", "schema": {"type": "string"}},
}
SOURCE = {"description": "Whose error it is", "schema": {"type": "string", "enum": ["gateway", "provider"]}}
SHOULD_RETRY = {"description": "false, where a retry is useless", "schema": {"type": "string"}}
ERROR_HEADERS = ANSWER_HEADERS | {"X-Error-Source": SOURCE, "X-Should-Retry": SHOULD_RETRY}
ETAG = {"description": "What is registered, for If-Match; heartbeats do not change it", "schema": {"type": "string"}}
LOCATION = {"description": "The provider's address, relative", "schema": {"type": "string"}}
MODEL = {"type": "string", "description": "Without one the provider's registered model is asked"}
MESSAGES = {"type": "array", "items": {"type": "object"}, "minItems": 1}
STREAM = {"type": "boolean", "default": False}
WRAPPED = {"type": "object", "required": ["messages"], "properties": {"messages": MESSAGES}}
STREAMED = WRAPPED | {"properties": {"messages": MESSAGES, "stream": STREAM}}
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
    "/v1/chat": {"required": ["request"], "properties": {"request": STREAMED}},
    "/v1/plan": {"required": ["request"], "properties": {"request": WRAPPED}},
}


def document(generated: Json) -> Json:
    """The whole document from Powertools' own, without `servers`: where it is served is the request's to say."""
    paths = {path.replace("{provider_id}", "{id}"): item for path, item in generated["paths"].items()}
    served = [(path, method, operation) for path, item in paths.items() for method, operation in item.items()]
    for path, method, operation in served:
        _own(operation)
        _describe(operation, path, method)
    for method, path in OPERATIONS:
        if path.startswith("/v1/"):
            paths.setdefault(path, {})[method] = _forwarded(path, method)
    schemas = {name: schema for name, schema in generated["components"]["schemas"].items() if name not in UNUSED}
    return {
        "openapi": generated["openapi"],
        "info": INFO,
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted((schemas | _error_schemas()).items())), "securitySchemes": TOKENS},
    }


def base_path(path: str | None, resource: str) -> str:
    """What stands before the API's paths where a request came in: `/prod` for a stage, `/` for none.

    A root-relative server: generators and schemathesis resolve it against the document's address, and lose a stage
    that is written as `../..`.
    """
    return (path or "").removesuffix(resource).rstrip("/") or "/"


def _own(operation: Json) -> None:
    """Powertools' 422s go: bad input is our 400."""
    operation["responses"].pop("422", None)
    for parameter in operation.get("parameters", ()):
        name = NAMES.get(parameter["name"], parameter["name"])
        parameter.update({"name": name, "schema": _without_null(parameter["schema"])} | PARAMETERS.get(name, {}))


def _without_null(schema: Json) -> Json:
    """A parameter that may be left out is not one that may be null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


def _describe(operation: Json, path: str, method: str) -> None:
    """Adds name, words, token, answers and errors; a route that OPERATIONS does not know keeps Powertools' words."""
    call = OPERATIONS.get((method, path)) or Operation(operation["operationId"], operation["summary"])
    words = {"description": call.description} if call.description else {}
    operation |= {"operationId": call.name, "summary": call.summary, "security": _security(path)} | words
    answers = operation["responses"]
    answers["200"]["description"] = "Done"
    if method == "delete":
        del answers["200"]
        answers["204"] = {"description": "Gone"}
    if call.etag:
        answers["200"]["headers"] = {"ETag": ETAG}
    if call.created:
        answers["201"] = answers["200"] | {"description": "Created", "headers": {"ETag": ETAG, "Location": LOCATION}}
    operation["responses"] = dict(sorted((answers | _errors(path, method, call)).items()))


def _security(path: str) -> list[Json]:
    if path.startswith("/api/"):
        return [ADMIN]
    return [CLIENT, ADMIN] if path.startswith("/v1/") else []


def _errors(path: str, method: str, call: Operation) -> Json:
    return {status: _error(status, found) for status, found in codes(method, path, call).items()}


def _error(status: str, found: list[str]) -> Json:
    words = HTTPStatus(int(status)).phrase if status.isdigit() else "Any other"
    told = ", ".join(f"`{code}`" for code in found)
    content = {"application/json": {"schema": {"$ref": f"{SCHEMAS}ErrorView"}}}
    return {"description": f"{words}: {told}", "content": content}


def _error_schemas() -> Json:
    error = ErrorView.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
    return dict(error.pop("$defs")) | {"ErrorView": error}


def _forwarded(path: str, method: str) -> Json:
    """An operation of /v1. What the provider takes and gives is its own to describe."""
    content: Json = {"application/json": {"schema": {"type": "object"}}}
    if path in ANSWERED_BY_STREAMS:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    if path == "/v1/chat":
        content["text/plain"] = {"schema": {"type": "string"}}  # what TokenHub calls its JSON there
    operation: Json = {"parameters": [WHICH_PROVIDER], "operationId": "", "summary": ""}
    if path in BODIES:
        schema = {"type": "object"} | BODIES[path]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    operation["responses"] = {"200": {"headers": ANSWER_HEADERS, "content": content}}
    _describe(operation, path, method)
    for status, answer in operation["responses"].items():
        if status != "200":
            answer["headers"] = ERROR_HEADERS
    operation["responses"]["200"]["description"] = "The provider's answer, byte for byte"
    return operation
