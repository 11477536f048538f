"""The Lambda authorizers: calls the authorizer function once per token and evaluates its policy for every request."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tools.local.apigateway.gateway_responses import GatewayError
from tools.local.deployment import Authorizer

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@dataclass(frozen=True)
class InvocationResult:
    """The result of a function. If `failed`, the function raised, and the payload describes the error."""

    payload: bytes
    failed: bool


type Invoke = Callable[[str, bytes], InvocationResult]


def lambda_invoker(client: "LambdaClient") -> Invoke:
    """Returns a blocking function that invokes a Lambda function by its ARN."""

    def invoke(function_arn: str, payload: bytes) -> InvocationResult:
        response = client.invoke(FunctionName=function_arn, Payload=payload)
        return InvocationResult(response["Payload"].read(), "FunctionError" in response)

    return invoke


@dataclass(frozen=True)
class _CachedPolicy:
    policy: Mapping[str, Any]
    context: Mapping[str, str]
    expires_at: float


class TokenAuthorizer:
    """API Gateway's side of the Lambda authorizers, with their caches. `clock` returns seconds."""

    def __init__(self, invoke: Invoke, clock: Callable[[], float] = time.monotonic) -> None:
        self._invoke = invoke
        self._clock = clock
        # By authorizer and token: a token in one header says nothing about the same value in another.
        self._cache: dict[tuple[Authorizer, str], _CachedPolicy] = {}

    async def authorize(
        self, authorizer: Authorizer, token: str | None, method_arn: str, request: Mapping[str, Any]
    ) -> Mapping[str, str]:
        """Returns the authorizer context for the event. `request` is what a REQUEST authorizer receives.

        Raises GatewayError UNAUTHORIZED, ACCESS_DENIED or AUTHORIZER_FAILURE.
        """
        if not token:
            raise GatewayError("UNAUTHORIZED")
        cached = self._cache.get((authorizer, token))
        if cached is None or cached.expires_at <= self._clock():
            received = request if authorizer.type == "REQUEST" else {"authorizationToken": token}
            event = {"type": authorizer.type, **received, "methodArn": method_arn}
            cached = await self._fetch_policy(authorizer, token, event)
        if not allows(cached.policy, method_arn):
            raise GatewayError("ACCESS_DENIED")
        return cached.context

    async def _fetch_policy(self, authorizer: Authorizer, token: str, event: Mapping[str, Any]) -> _CachedPolicy:
        result = await self._call_function(authorizer.function_arn, json.dumps(event).encode())
        policy = result.get("policyDocument")
        if not isinstance(policy, dict):
            raise GatewayError("AUTHORIZER_FAILURE")
        now = self._clock()
        fetched = _CachedPolicy(policy, context_strings(result), now + authorizer.ttl_s)
        self._cache = {key: cached for key, cached in self._cache.items() if cached.expires_at > now}
        self._cache[authorizer, token] = fetched
        return fetched

    async def _call_function(self, function_arn: str, event: bytes) -> dict[str, Any]:
        try:
            result = await asyncio.to_thread(self._invoke, function_arn, event)
            payload = json.loads(result.payload)
        except Exception as error:
            # API Gateway reports every failed call of the authorizer in the same way.
            raise GatewayError("AUTHORIZER_FAILURE") from error
        if not isinstance(payload, dict):
            raise GatewayError("AUTHORIZER_FAILURE")
        if result.failed:
            # An authorizer function rejects a token by raising an exception with exactly this message.
            is_rejected = payload.get("errorMessage") == "Unauthorized"
            raise GatewayError("UNAUTHORIZED" if is_rejected else "AUTHORIZER_FAILURE")
        return payload


def allows(policy: Mapping[str, Any], method_arn: str) -> bool:
    """Returns whether a policy allows `method_arn` to be invoked. Deny overrides Allow; the default is to deny.

    Evaluates Effect, Action and Resource, where `*` and `?` also match `/`. Ignores conditions.
    """
    statements = policy.get("Statement") or []
    if isinstance(statements, dict):
        statements = [statements]
    effects = {s.get("Effect") for s in statements if _applies(s, method_arn)}
    return "Allow" in effects and "Deny" not in effects


def context_strings(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns an authorizer's context as functions receive it: scalars as strings, all other values left out."""
    scalars = {k: v for k, v in (result.get("context") or {}).items() if isinstance(v, str | int | float)}
    context = {k: json.dumps(v) if isinstance(v, bool) else str(v) for k, v in scalars.items()}
    return {"principalId": str(result.get("principalId", "")), **context}


def _applies(statement: Mapping[str, Any], method_arn: str) -> bool:
    actions = (action.lower() for action in _as_list(statement.get("Action")))
    return any(_matches(action, "execute-api:invoke") for action in actions) and any(
        _matches(resource, method_arn) for resource in _as_list(statement.get("Resource"))
    )


def _as_list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _matches(pattern: str, text: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None
