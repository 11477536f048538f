import json
from typing import Any

import pytest

from tests.functions.conftest import Context, Load, event

PAGE = "https://chat.example.com"  # the only origin that the function is deployed with here
ALLOW = "access-control-allow-origin"


@pytest.fixture
def ask(load: Load) -> Any:
    app = load("preflight")
    return lambda **changes: app.handler(event("preflight", **changes), Context())


@pytest.mark.parametrize("name", ["Origin", "origin"])  # as on AWS, and as the local API Gateway writes it
def test_an_allowed_page_may_call_with_its_token(ask: Any, name: str) -> None:
    answer = ask(headers={name: PAGE})

    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert answer["headers"][ALLOW] == PAGE
    assert answer["headers"]["access-control-allow-headers"].startswith("Authorization")


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example.com"}, {}, None])
def test_any_other_page_gets_an_error_that_says_so_and_no_permission(ask: Any, headers: dict[str, str] | None) -> None:
    answer = ask(headers=headers)

    assert (answer["statusCode"], answer["headers"]["content-type"]) == (403, "application/json")
    assert json.loads(answer["body"])["error"]["code"] == "origin_not_allowed"
    assert not [name for name in answer["headers"] if name.startswith("access-control-")]


def test_every_path_has_the_same_answer(ask: Any) -> None:
    assert ask(resource="/v1/models", path="/v1/models") == ask()
