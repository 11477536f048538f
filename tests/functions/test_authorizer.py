import logging
from typing import Any

import boto3
import pytest

from tests.functions.conftest import Context, Load, event
from tests.unit.gateway.servers import always, answer, serving

STAGE = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/prod"


@pytest.fixture
def authorize(load: Load) -> Any:
    app = load("authorizer")
    return lambda **changes: app.handler(event("authorize", **changes), Context())


def resources(policy: dict[str, Any], effect: str) -> list[str]:
    statements = policy["policyDocument"]["Statement"]
    return [resource for s in statements if s["Effect"] == effect for resource in s["Resource"]]


def test_the_admin_token_opens_everything(authorize: Any) -> None:
    policy = authorize(authorizationToken="Bearer admin-token")

    assert resources(policy, "Allow") == [f"{STAGE}/*"]
    assert resources(policy, "Deny") == []


def test_the_client_token_opens_v1_only(authorize: Any) -> None:
    policy = authorize(authorizationToken="Bearer client-token")

    assert resources(policy, "Allow") == [f"{STAGE}/GET/v1/*", f"{STAGE}/POST/v1/*"]
    assert resources(policy, "Deny") == [f"{STAGE}/*/api/*"]


def test_the_policy_depends_on_the_token_and_never_on_the_path(authorize: Any) -> None:
    elsewhere = f"{STAGE}/POST/v1/chat/completions"

    assert authorize() == authorize(methodArn=elsewhere)


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "admin-token", "Basic admin-token", "", "Bearer é"])
def test_any_other_header_is_unauthorized_word_for_word(authorize: Any, header: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(authorizationToken=header)


def test_under_sam_local_an_unknown_token_is_denied_since_an_exception_would_be_a_502_there(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_SAM_LOCAL", "true")
    with serving(always(answer(body=b'{"SecretString": "admin-token"}'))) as secrets:
        monkeypatch.setenv("AWS_ENDPOINT_URL", secrets.url)
        policy = load("authorizer").handler(event("authorize", authorizationToken="Bearer wrong"), Context())

    assert resources(policy, "Allow") == []
    assert resources(policy, "Deny") == ["*"]


def test_no_token_stands_in_the_policy(authorize: Any) -> None:
    assert "admin-token" not in str(authorize())


def test_no_token_is_logged_also_where_everything_is(authorize: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    authorize(authorizationToken="Bearer admin-token")
    with pytest.raises(Exception, match="Unauthorized"):
        authorize(authorizationToken="Bearer a-wrong-one")

    assert not [line for line in caplog.messages if "admin-token" in line or "a-wrong-one" in line]
    assert "admin-token" not in caplog.text
