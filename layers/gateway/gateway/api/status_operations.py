"""The OpenAPI operations of the status page: their parameters and the content of their successful answers."""

from typing import Any

from gateway.api.operations import PARAMETERS

Json = dict[str, Any]

TEXT = {"type": "string"}
SHIELDS = {
    "type": "object",
    "required": ["schemaVersion", "label", "message", "color"],
    "properties": {"schemaVersion": {"const": 1}, "label": TEXT, "message": TEXT, "color": TEXT},
}
LIVE = {"type": "object", "required": ["status"], "properties": {"status": {"const": "healthy"}}}
# The content type and the schema of the answer, and the query parameter, by the end of the path.
CONTENT: dict[str, tuple[str, Json, str | None]] = {
    "/status": ("text/html", TEXT, None),
    "/status/data": ("application/json", {"$ref": "#/components/schemas/TokenStatus"}, "page"),
    "/status/public/data": ("application/json", {"$ref": "#/components/schemas/PublicStatus"}, "page"),
    "/status/public/feed.atom": ("application/atom+xml", TEXT, None),
    "/status/public/{id}/badge.svg": ("image/svg+xml", TEXT, "of"),
    "/status/public/{id}/shields.json": ("application/json", SHIELDS, "of"),
    "/status/public/{id}/live": ("application/json", LIVE, None),
}


def status_operation(path: str) -> Json:
    """Returns an operation without its name, its texts and its errors."""
    content_type, schema, query = CONTENT[path]
    parameters: list[Json] = []
    if "{id}" in path:
        parameters.append({"name": "id", "in": "path", "required": True, **PARAMETERS["id"]})
    if query is not None:
        parameters.append({"name": query, "in": "query", **PARAMETERS[query]})
    return {
        "operationId": "",
        "summary": "",
        "parameters": parameters,
        "responses": {"200": {"content": {content_type: {"schema": schema}}}},
    }
