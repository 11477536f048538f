import logging
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.functions.conftest import Context, Load, event
from tests.scripted_server import ScriptedServer, always, answer
from tools.local.apigateway.authorizer import allows

METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
STAGE = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/prod"


@pytest.fixture
def authorize(load: Load) -> Any:
    app = load("authorizer")
    return lambda **changes: app.handler(event("authorize", **changes), Context())


def resources(policy: dict[str, Any], effect: str) -> list[str]:
    statements = policy["policyDocument"]["Statement"]
    return [resource for s in statements if s["Effect"] == effect for resource in s["Resource"]]


def test_allows_everything_for_the_admin_token(authorize: Any) -> None:
    policy = authorize(authorizationToken="Bearer admin-token")

    assert resources(policy, "Allow") == [f"{STAGE}/*"]
    assert resources(policy, "Deny") == []


def test_allows_v1_and_the_status_page_only_for_the_client_token(authorize: Any) -> None:
    policy = authorize(authorizationToken="Bearer client-token")

    paths = ("GET/v1/*", "POST/v1/*", "GET/anthropic/v1/*", "POST/anthropic/v1/*", "GET/status/*")
    assert resources(policy, "Allow") == [f"{STAGE}/{path}" for path in paths]
    assert set(resources(policy, "Deny")) == {f"{STAGE}/{method}/api/*" for method in METHODS}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.sampled_from(["x/api/y", "api/v1/providers", "api/", "/api/", "x%2Fapi%2Fy", "../../api/v1/"]))
def test_client_token_may_read_every_model(authorize: Any, model: str) -> None:
    policy = authorize(authorizationToken="Bearer client-token")["policyDocument"]

    assert allows(policy, f"{STAGE}/GET/v1/models/{model}")
    assert allows(policy, f"{STAGE}/GET/anthropic/v1/models/{model}")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(METHODS), st.text() | st.sampled_from(["v1/providers", "v1/providers/x/models", "v1/x/v1/y"]))
def test_client_token_never_allows_a_path_under_api(authorize: Any, method: str, path: str) -> None:
    policy = authorize(authorizationToken="Bearer client-token")["policyDocument"]
    allow_all = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}

    assert not allows(policy, f"{STAGE}/{method}/api/{path}")
    assert not allows({"Statement": [*policy["Statement"], allow_all]}, f"{STAGE}/{method}/api/{path}")


def test_policy_does_not_depend_on_the_path(authorize: Any) -> None:
    elsewhere = f"{STAGE}/POST/v1/chat/completions"

    assert authorize() == authorize(methodArn=elsewhere)


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "admin-token", "Basic admin-token", "", "Bearer é"])
def test_raises_unauthorized_for_any_other_header(authorize: Any, header: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(authorizationToken=header)


@pytest.fixture
def authorize_api_key(load: Load) -> Any:
    app = load("authorizer")
    return lambda *keys, name="x-api-key": app.handler(
        event("authorize_api_key", multiValueHeaders={"Accept": ["*/*"], name: list(keys)}), Context()
    )


@pytest.mark.parametrize("name", ["x-api-key", "X-Api-Key"])
def test_reads_x_api_key_from_a_request(authorize: Any, authorize_api_key: Any, name: str) -> None:
    for role in ("admin", "client"):
        expected = authorize(authorizationToken=f"Bearer {role}-token")
        assert authorize_api_key(f"{role}-token", name=name) == expected


@pytest.mark.parametrize(
    "keys", [(), ("",), ("wrong",), ("Bearer client-token",), ("wrong", "client-token"), ("client-token", "wrong")]
)
def test_raises_unauthorized_for_any_other_x_api_key(authorize_api_key: Any, keys: tuple[str, ...]) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize_api_key(*keys)


def test_a_request_without_x_api_key_is_unauthorized_despite_a_bearer_token(load: Load) -> None:
    headers = {"Authorization": ["Bearer client-token"]}

    with pytest.raises(Exception, match=r"^Unauthorized$"):
        load("authorizer").handler(event("authorize_api_key", multiValueHeaders=headers), Context())


def test_denies_unknown_tokens_by_a_policy_under_sam_local(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_SAM_LOCAL", "true")
    with ScriptedServer(always(answer(body=b'{"SecretString": "admin-token"}'))) as secrets:
        monkeypatch.setenv("AWS_ENDPOINT_URL", secrets.url)
        policy = load("authorizer").handler(event("authorize", authorizationToken="Bearer wrong"), Context())

    assert resources(policy, "Allow") == []
    assert resources(policy, "Deny") == ["*"]


def test_policy_contains_no_token(authorize: Any) -> None:
    assert "admin-token" not in str(authorize())


def test_logs_no_token_at_debug_level(authorize: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    authorize(authorizationToken="Bearer admin-token")
    with pytest.raises(Exception, match="Unauthorized"):
        authorize(authorizationToken="Bearer a-wrong-one")

    assert not [line for line in caplog.messages if "admin-token" in line or "a-wrong-one" in line]
    assert "admin-token" not in caplog.text
