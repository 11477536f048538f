from typing import Any

import pytest

from gateway.api.openapi import base_path, document
from gateway.api.operations import OPERATIONS, codes
from gateway.core.errors import ProviderNotFound


def generated(path: str, **operation: Any) -> dict[str, Any]:
    done = {"responses": {"200": {"description": "Successful Response"}, "422": {}}}
    plain = {"operationId": "an_id", "summary": "GET it"} | done | operation
    return {"openapi": "3.1.0", "paths": {path: {"get": plain}}, "components": {"schemas": {"ValidationError": {}}}}


def test_documents_routes_without_a_description() -> None:
    operation = document(generated("/api/v1/new"))["paths"]["/api/v1/new"]["get"]

    assert (operation["operationId"], operation["summary"]) == ("an_id", "GET it")
    assert "`internal_error`" in operation["responses"]["500"]["description"]
    assert "422" not in operation["responses"]


def test_renames_path_parameters_as_in_the_template() -> None:
    parameter = {"name": "provider_id", "in": "path", "schema": {"type": "string"}}

    paths = document(generated("/api/v1/providers/{provider_id}", parameters=[parameter]))["paths"]

    assert paths["/api/v1/providers/{id}"]["get"]["parameters"][0]["name"] == "id"


def test_removes_unused_schemas() -> None:
    assert "ValidationError" not in document(generated("/api/v1/new"))["components"]["schemas"]


def test_lists_codes_by_status() -> None:
    call = OPERATIONS["get", "/api/v1/providers/{id}"]

    assert call.errors == (ProviderNotFound,)
    assert codes("get", "/api/v1/providers/{id}", call) | {"404": ["provider_not_found"]} == codes(
        "get", "/api/v1/providers/{id}", call
    )


@pytest.mark.parametrize(
    ("path", "base"), [("/prod/api/x", "/prod"), ("/api/x", "/"), ("/a/b/api/x", "/a/b"), (None, "/")]
)
def test_base_path_is_the_part_before_the_resource(path: str | None, base: str) -> None:
    assert base_path(path, "/api/x") == base
