"""Compares the OpenAPI document with the answers of the status routes."""

import json
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event
from tests.functions.test_openapi import check, operations


@pytest.fixture
def app(load: Load) -> Any:
    return load("providers")


@pytest.fixture
def document(app: Any) -> dict[str, Any]:
    return dict(json.loads(app.handler(event("openapi"), Context())["body"]))


STATUS = [
    ("get", "/status/data", event("status_data"), 200),
    ("get", "/status/data", event("status_data", queryStringParameters={"page": "x"}), 400),
    ("get", "/status/public/data", event("status_public_data"), 200),
    ("get", "/status/public/{id}/shields.json", event("status_shields"), 200),
    ("get", "/status/public/{id}/live", event("status_live"), 503),
    ("head", "/status/public/{id}/live", event("status_live", httpMethod="HEAD"), 503),
    ("get", "/status/public/{id}/live", event("status_live", pathParameters={"id": "nobody"}), 404),
]
OTHER_CONTENT = ["status_page", "status_feed", "status_badge"]


def test_status_routes_match_the_document(
    app: Any, document: dict[str, Any], load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATUS_PAGE", "public")
    app.handler(event("register"), Context())
    status_app = load("status")

    for method, path, request, status in STATUS:
        answer = status_app.handler(request, Context())
        assert answer["statusCode"] == status, (method, path, answer["body"])
        check(document, method, path, answer)
    for name in OTHER_CONTENT:
        answer = status_app.handler(event(name), Context())
        responses = operations(document)["get", event(name)["resource"]]["responses"]
        assert answer["headers"]["Content-Type"].partition(";")[0] in responses["200"]["content"]
    called = {(method, path) for method, path, _, _ in STATUS} | {("get", event(n)["resource"]) for n in OTHER_CONTENT}
    assert called == {pair for pair in operations(document) if pair[1].startswith("/status")}


def test_documents_that_the_status_page_is_off(
    app: Any, document: dict[str, Any], load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATUS_PAGE", "off")
    status_app = load("status")

    for method, path, request, _ in STATUS:
        answer = status_app.handler(request, Context())
        assert answer["statusCode"] == 404
        check(document, method, path, answer)
