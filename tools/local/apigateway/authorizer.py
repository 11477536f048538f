"""The TOKEN authorizer: asks the authorizer function once per token, and evaluates its policy for every request."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tools.local.apigateway.gateway_responses import Refusal
from tools.local.deployed import Authorizer

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@dataclass(frozen=True)
class Invoked:
    """What a function answered; `failed` when it raised, and the payload is then the error."""

    payload: bytes
    failed: bool


type Invoke = Callable[[str, bytes], Invoked]


def lambda_invoke(client: "LambdaClient") -> Invoke:
    """Invokes functions by ARN through Lambda, blocking."""

    def invoke(function_arn: str, payload: bytes) -> Invoked:
        answer = client.invoke(FunctionName=function_arn, Payload=payload)
        return Invoked(answer["Payload"].read(), "FunctionError" in answer)

    return invoke


@dataclass(frozen=True)
class _Cached:
    policy: Mapping[str, Any]
    context: Mapping[str, str]
    expires: float


class TokenAuthorizer:
    """API Gateway's side of a TOKEN authorizer, its cache included. Times are seconds of `clock`."""

    def __init__(self, invoke: Invoke, clock: Callable[[], float] = time.monotonic) -> None:
        self._invoke = invoke
        self._clock = clock
        self._cache: dict[tuple[str, str], _Cached] = {}

    async def authorize(self, authorizer: Authorizer, token: str | None, method_arn: str) -> Mapping[str, str]:
        """The context for the event. Raises Refusal: UNAUTHORIZED, ACCESS_DENIED or AUTHORIZER_FAILURE."""
        if not token:
            raise Refusal("UNAUTHORIZED")
        known = self._cache.get((authorizer.function_arn, token))
        if known is None or known.expires <= self._clock():
            known = await self._ask(authorizer, token, method_arn)
        if not allows(known.policy, method_arn):
            raise Refusal("ACCESS_DENIED")
        return known.context

    async def _ask(self, authorizer: Authorizer, token: str, method_arn: str) -> _Cached:
        event = {"type": "TOKEN", "authorizationToken": token, "methodArn": method_arn}
        answer = await self._invoked(authorizer.function_arn, json.dumps(event).encode())
        policy = answer.get("policyDocument")
        if not isinstance(policy, dict):
            raise Refusal("AUTHORIZER_FAILURE")
        now = self._clock()
        known = _Cached(policy, context_strings(answer), now + authorizer.ttl_s)
        self._cache = {key: kept for key, kept in self._cache.items() if kept.expires > now}
        self._cache[authorizer.function_arn, token] = known
        return known

    async def _invoked(self, function_arn: str, event: bytes) -> dict[str, Any]:
        try:
            invoked = await asyncio.to_thread(self._invoke, function_arn, event)
            answer = json.loads(invoked.payload)
        except Exception as error:  # whatever the client library raises, API Gateway says one thing
            raise Refusal("AUTHORIZER_FAILURE") from error
        if not isinstance(answer, dict):
            raise Refusal("AUTHORIZER_FAILURE")
        if invoked.failed:
            # A function says 401 by raising an exception with exactly this message.
            refused = answer.get("errorMessage") == "Unauthorized"
            raise Refusal("UNAUTHORIZED" if refused else "AUTHORIZER_FAILURE")
        return answer


def allows(policy: Mapping[str, Any], method_arn: str) -> bool:
    """Whether a policy lets `method_arn` be invoked: an explicit Deny first, then any Allow, else not.

    Effect, Action and Resource are evaluated, `*` and `?` over the whole string, `/` included; conditions are not.
    """
    statements = policy.get("Statement") or []
    if isinstance(statements, dict):
        statements = [statements]
    effects = {s.get("Effect") for s in statements if _applies(s, method_arn)}
    return "Allow" in effects and "Deny" not in effects


def context_strings(answer: Mapping[str, Any]) -> dict[str, str]:
    """An authorizer's context as functions receive it: every value a string, what is not a scalar left out."""
    scalars = {k: v for k, v in (answer.get("context") or {}).items() if isinstance(v, str | int | float)}
    context = {k: json.dumps(v) if isinstance(v, bool) else str(v) for k, v in scalars.items()}
    return {"principalId": str(answer.get("principalId", "")), **context}


def _applies(statement: Mapping[str, Any], method_arn: str) -> bool:
    actions = (action.lower() for action in _list(statement.get("Action")))
    return any(_matches(action, "execute-api:invoke") for action in actions) and any(
        _matches(resource, method_arn) for resource in _list(statement.get("Resource"))
    )


def _list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _matches(pattern: str, text: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None
