import json
import logging
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event

# The only allowed origin in these tests.
PAGE = "https://chat.example.com"
ALLOW = "access-control-allow-origin"


@pytest.fixture
def ask(load: Load) -> Any:
    app = load("preflight")
    return lambda **changes: app.handler(event("preflight", **changes), Context())


# AWS keeps the client's spelling, the local API Gateway writes lower case.
@pytest.mark.parametrize("name", ["Origin", "origin"])
def test_allows_pages_of_an_allowed_origin_to_send_a_token(ask: Any, name: str) -> None:
    answer = ask(headers={name: PAGE})

    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert answer["headers"][ALLOW] == PAGE
    assert answer["headers"]["access-control-allow-headers"].startswith("Authorization")


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example.com"}, {}, None])
def test_refuses_any_other_page_with_an_error(ask: Any, headers: dict[str, str] | None) -> None:
    answer = ask(headers=headers)

    assert (answer["statusCode"], answer["headers"]["content-type"]) == (403, "application/json")
    assert json.loads(answer["body"])["type"] == "error"
    assert json.loads(answer["body"])["error"]["code"] == "origin_not_allowed"
    assert not [name for name in answer["headers"] if name.startswith("access-control-")]


def test_answers_every_path_the_same(ask: Any) -> None:
    assert ask(resource="/v1/models", path="/v1/models") == ask()


@pytest.mark.parametrize(("origin", "status"), [(PAGE, 204), ("https://evil.example.com", 403)])
def test_logs_one_line_that_the_answers_request_id_finds(
    ask: Any, caplog: pytest.LogCaptureFixture, origin: str, status: int
) -> None:
    caplog.set_level(logging.INFO)

    answer = ask(headers={"Origin": origin})

    lines = [vars(record) for record in caplog.records if record.name == "preflight"]
    [line] = [line for line in lines if line["request_id"] == answer["headers"]["X-Request-Id"]]
    assert line["message"] == "api request"
    assert (line["method"], line["route"], line["status"]) == ("OPTIONS", "/api/v1/providers", status)
    assert origin not in str(line)
