import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from tools.local.apigateway.authorizer import InvocationResult, TokenAuthorizer, allows, context_strings, lambda_invoker
from tools.local.apigateway.gateway_responses import GatewayError
from tools.local.deployment import Authorizer

API = "arn:aws:execute-api:eu-west-1:123456789012:abc/prod"
ARN = f"{API}/POST/v1/chat"
TOKEN = "Bearer t"
AUTHORIZER = Authorizer("arn:aws:lambda:eu-west-1:123456789012:function:authorizer:live", 300)


def statement(effect: str, *resources: str, action: str | list[str] = "execute-api:Invoke") -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": list(resources)}


@pytest.mark.parametrize(
    ("statements", "arn", "allowed"),
    [
        ([], ARN, False),
        ([statement("Allow", ARN)], ARN, True),
        ([statement("Allow", "*")], ARN, True),
        ([statement("Allow", f"{API}/POST/v1/*")], ARN, True),
        ([statement("Allow", f"{API}/POST/v1/*")], f"{API}/POST/v1/a/b/c", True),
        ([statement("Allow", f"{API}/*/v1/*")], f"{API}/GET/api/v1/providers", True),
        ([statement("Allow", f"{API}/GET/v1/*"), statement("Allow", f"{API}/POST/v1/*")], ARN, True),
        ([statement("Allow", f"{API}/GET/v1/*", f"{API}/POST/v1/*")], ARN, True),
        ([statement("Allow", f"{API}/P?ST/v1/chat")], ARN, True),
        ([statement("Allow", f"{API}/P?OST/v1/chat")], ARN, False),
        ([statement("Allow", f"{API}/POST/v1/cha")], ARN, False),
        ([statement("Allow", f"{API}/POST/v1/cha[t]")], ARN, False),
        ([statement("Allow", f"{API}/GET/v1/*")], ARN, False),
        ([statement("Allow", "*"), statement("Deny", f"{API}/*/v1/*")], ARN, False),
        ([statement("Deny", f"{API}/*/v1/*"), statement("Allow", "*")], ARN, False),
        ([statement("Allow", "*"), statement("Deny", f"{API}/*/api/*")], ARN, True),
        ([statement("Deny", "*")], ARN, False),
        ([statement("Allow", "*", action="*")], ARN, True),
        ([statement("Allow", "*", action="EXECUTE-API:*")], ARN, True),
        ([statement("Allow", "*", action=["s3:GetObject", "execute-api:Invoke"])], ARN, True),
        ([statement("Allow", "*", action="execute-api:ManageConnections")], ARN, False),
        (statement("Allow", "*"), ARN, True),
        ([{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": ARN}], ARN, True),
        ([{"Effect": "Allow", "Action": "execute-api:Invoke"}], ARN, False),
    ],
)
def test_allows_matching_statements_and_denies_first(statements: Any, arn: str, allowed: bool) -> None:
    assert allows({"Statement": statements}, arn) is allowed


def test_converts_context_values_to_strings() -> None:
    context = {"a": "b", "number": 1, "yes": True, "nothing": None, "nested": {"a": 1}}

    strings = context_strings({"principalId": "me", "context": context})

    assert strings == {"principalId": "me", "a": "b", "number": "1", "yes": "true"}


def result(**fields: Any) -> Callable[[], InvocationResult]:
    return lambda: InvocationResult(json.dumps(fields).encode(), failed="errorMessage" in fields)


def fail() -> InvocationResult:
    raise ValueError("no such function")


ALLOWED = result(policyDocument={"Statement": statement("Allow", ARN)}, principalId="me")


@dataclass
class Caller:
    """Calls an authorizer that has a fake function and a fake clock."""

    function: Callable[[], InvocationResult] = ALLOWED
    now: float = 1000.0
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._authorizer = TokenAuthorizer(self._invoke, lambda: self.now)

    def _invoke(self, function_arn: str, payload: bytes) -> InvocationResult:
        self.events.append({"function": function_arn, **json.loads(payload)})
        return self.function()

    def __call__(self, token: str | None = TOKEN, arn: str = ARN, authorizer: Authorizer = AUTHORIZER) -> Any:
        return asyncio.run(self._authorizer.authorize(authorizer, token, arn, {"headers": {"x-api-key": token}}))

    def rejected(self, token: str | None = TOKEN, arn: str = ARN) -> str:
        with pytest.raises(GatewayError) as raised:
            self(token, arn)
        return raised.value.response_type


def test_calls_the_function_with_api_gateways_event() -> None:
    caller = Caller()

    assert caller() == {"principalId": "me"}
    assert caller.events == [
        {"function": AUTHORIZER.function_arn, "type": "TOKEN", "authorizationToken": TOKEN, "methodArn": ARN}
    ]


def test_sends_the_request_to_a_request_authorizer() -> None:
    caller = Caller()
    by_api_key = replace(AUTHORIZER, header="x-api-key", type="REQUEST")

    caller(TOKEN, authorizer=by_api_key)

    assert caller.events == [
        {"function": AUTHORIZER.function_arn, "type": "REQUEST", "headers": {"x-api-key": TOKEN}, "methodArn": ARN}
    ]


def test_authorizers_of_one_function_share_no_policy() -> None:
    """The value that is valid in x-api-key is not valid in Authorization, where the scheme is missing."""
    caller = Caller()
    caller(TOKEN, authorizer=replace(AUTHORIZER, header="x-api-key", type="REQUEST"))
    caller(TOKEN)

    assert [event["type"] for event in caller.events] == ["REQUEST", "TOKEN"]


@pytest.mark.parametrize("token", [None, ""])
def test_rejects_a_missing_token_without_calling_the_function(token: str | None) -> None:
    caller = Caller()

    assert caller.rejected(token) == "UNAUTHORIZED"
    assert caller.events == []


@pytest.mark.parametrize(
    ("function", "response_type"),
    [
        (result(errorMessage="Unauthorized"), "UNAUTHORIZED"),
        (result(errorMessage="unauthorized, really"), "AUTHORIZER_FAILURE"),
        (result(principalId="me"), "AUTHORIZER_FAILURE"),
        (lambda: InvocationResult(b"[]", failed=False), "AUTHORIZER_FAILURE"),
        (lambda: InvocationResult(b"not JSON", failed=False), "AUTHORIZER_FAILURE"),
        (fail, "AUTHORIZER_FAILURE"),
    ],
)
def test_does_not_cache_rejections_or_failures(function: Callable[[], InvocationResult], response_type: str) -> None:
    caller = Caller(function)

    assert [caller.rejected(), caller.rejected()] == [response_type, response_type]
    assert len(caller.events) == 2


def test_caches_a_policy_for_its_ttl_and_evaluates_it_per_request() -> None:
    caller = Caller()
    caller()

    assert caller.rejected(arn=f"{API}/GET/v1/chat") == "ACCESS_DENIED"
    caller.now += 299
    caller()
    assert len(caller.events) == 1
    caller.now += 1
    caller()
    assert len(caller.events) == 2


def test_caches_one_policy_per_token() -> None:
    caller = Caller()
    caller("Bearer a")
    caller("Bearer b")

    assert [call["authorizationToken"] for call in caller.events] == ["Bearer a", "Bearer b"]


def test_caches_nothing_with_a_ttl_of_zero() -> None:
    caller = Caller()
    uncached = Authorizer(AUTHORIZER.function_arn, 0)
    caller(authorizer=uncached)
    caller(authorizer=uncached)

    assert len(caller.events) == 2


@pytest.mark.parametrize("failed", [True, False])
def test_lambda_invoker_reports_whether_the_function_failed(failed: bool) -> None:
    client = boto3.client("lambda", "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        body = StreamingBody(BytesIO(b"{}"), 2)
        stub.add_response(
            "invoke",
            {"Payload": body, **({"FunctionError": "Unhandled"} if failed else {})},
            {"FunctionName": "f", "Payload": b"{}"},
        )

        assert lambda_invoker(client)("f", b"{}") == InvocationResult(b"{}", failed)
