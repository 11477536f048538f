"""Asking the heartbeat function about one provider, and what goes over that invocation.

Keys are decrypted by the functions that send them to a provider, and by no other: the provider API has neither
kms:Decrypt nor httpx, and lets the heartbeat function beat and list models.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from gateway.core.errors import GatewayError, HeartbeatFailed, HeartbeatTimeout, RelayedError
from gateway.heartbeat.history import PastBeat
from gateway.registry.provider import moment, timestamp

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

SECONDS = 25  # above a beat's 20 s and a cold start, below the 29 s after which API Gateway gives up
# Never twice: a retry would send a second beat, and be cut by API Gateway in its midst.
CLIENT_CONFIG = Config(read_timeout=SECONDS, connect_timeout=2, retries={"total_max_attempts": 1})


class HeartbeatClient:
    """The deployed function, called and waited for. The client should have been made with CLIENT_CONFIG."""

    def __init__(self, client: "LambdaClient", name: str) -> None:
        self._client = client
        self._name = name

    def beat(self, provider_id: str) -> PastBeat:
        """Beats the provider now. Raises ProviderNotFound's twin, HeartbeatFailed, HeartbeatTimeout."""
        beat = self._ask({"provider_id": provider_id, "now": True})["beat"]
        return PastBeat(**beat | {"at": moment(beat["at"])})

    def models(self, provider_id: str) -> list[Any]:
        """The models that the provider lists. Raises what it met as RelayedError, HeartbeatFailed, HeartbeatTimeout."""
        return list(self._ask({"provider_id": provider_id, "models": True})["models"])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        answer = self._invoke(json.dumps(question))
        if "error" in answer:
            raise RelayedError(answer["error"])
        return answer

    def _invoke(self, payload: str) -> dict[str, Any]:
        try:
            answer = self._client.invoke(FunctionName=self._name, Payload=payload)
            content = answer["Payload"].read()
        except ReadTimeoutError:
            raise HeartbeatTimeout(SECONDS) from None
        except (BotoCoreError, ClientError):
            raise HeartbeatFailed from None
        if answer.get("FunctionError"):  # its text is for that function's logs only
            raise HeartbeatFailed
        return dict(json.loads(content))


def answer_of(work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """On the function's side: what `work` gives, or the error that it met, as plain data."""
    try:
        return dict(work())
    except GatewayError as error:
        return {"error": error.to_dict()}


def told_beat(beat: PastBeat) -> dict[str, Any]:
    """A beat as plain data."""
    return asdict(beat) | {"at": timestamp(beat.at)}
