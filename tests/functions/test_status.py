import json
import logging
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event

PAGE = "https://chat.example.com"  # the only allowed origin in these tests


def call(app: Any, name: str, **changes: Any) -> dict[str, Any]:
    answer: dict[str, Any] = app.handler(event(name, **changes), Context())
    return answer


def test_page_needs_no_provider_and_is_html(load: Load) -> None:
    answer = call(load("status"), "status_page")

    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer["headers"]["X-Request-Id"] == "status-page-1"
    # The local system needs no token.
    assert 'data-mode="local"' in answer["body"]


def test_data_shows_a_registered_provider(load: Load, register: Any) -> None:
    register()

    data = json.loads(call(load("status"), "status_data")["body"])

    assert [(p["id"], p["state"], p["default"]) for p in data["providers"]] == [("tokenhub", "pending", True)]
    assert data["counts"]["pending"] == 1


@pytest.mark.parametrize("name", ["status_public_data", "status_badge", "status_shields", "status_feed", "status_live"])
def test_public_routes_follow_the_parameter(
    load: Load, register: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    register()
    assert json.loads(call(load("status"), name)["body"])["error"]["code"] == "status_page_off"

    monkeypatch.setenv("STATUS_PAGE", "public")
    # A new provider is pending, which is not live.
    assert call(load("status"), name)["statusCode"] == (503 if name == "status_live" else 200)


def test_reads_at_most_six_items_of_a_provider(load: Load, register: Any) -> None:
    register()
    app, items = load("status"), []
    events = app.dynamodb.meta.client.meta.events
    events.register("after-call.dynamodb.Scan", lambda parsed, **_: items.extend(parsed["Items"]))
    events.register(
        "before-parameter-build.dynamodb.BatchGetItem",
        lambda params, **_: items.extend(key for table in params["RequestItems"].values() for key in table["Keys"]),
    )

    for name in ("status_data", "status_data", "status_page"):
        assert call(app, name)["statusCode"] == 200

    # The scan also returns the one item that names the default provider.
    assert 5 <= len(items) - 1 <= 6


def test_answers_allow_configured_origins(load: Load) -> None:
    answer = call(load("status"), "status_data", headers={"Origin": PAGE})

    assert answer["headers"]["access-control-allow-origin"] == PAGE


def test_an_unexpected_error_is_a_500_without_details(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDERS_TABLE", "missing")

    answer = call(load("status"), "status_data")

    assert answer["statusCode"] == 500
    assert json.loads(answer["body"])["error"]["code"] == "internal_error"
    assert "ResourceNotFound" not in answer["body"]


def test_logs_one_line_that_the_answers_request_id_finds(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    app = load("status")
    caplog.set_level(logging.INFO)

    call(app, "status_live")

    [line] = [vars(record) for record in caplog.records if record.name == "status"]
    assert (line["message"], line["method"], line["route"], line["status"]) == (
        "api request",
        "GET",
        "/status/public/{id}/live",
        404,
    )
