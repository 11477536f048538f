"""The provider API's client of the heartbeat function.

The provider API has neither kms:Decrypt nor httpx, because only functions that send keys to providers may decrypt them.
It therefore invokes the heartbeat function to check a provider or to list its models.
"""

import json
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from gateway.core.errors import HeartbeatFailed, HeartbeatTimeout, RelayedError
from gateway.heartbeat.commands import BeatNow, ListModels, to_json
from gateway.heartbeat.history import PastBeat
from gateway.heartbeat.results import deserialize_beat

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# More than a heartbeat's 20 s and a cold start, less than the 29 s after which API Gateway gives up.
TIMEOUT_SECONDS = 25
# A retry would run a second heartbeat, and API Gateway would time out during it.
CLIENT_CONFIG = Config(read_timeout=TIMEOUT_SECONDS, connect_timeout=2, retries={"total_max_attempts": 1})


class HeartbeatClient:
    """Invokes the deployed heartbeat function and waits for its result. Make `client` with CLIENT_CONFIG.

    Methods raise HeartbeatFailed, HeartbeatTimeout, or RelayedError for an error that the function returned.
    """

    def __init__(self, client: "LambdaClient", name: str) -> None:
        self._client = client
        self._name = name

    def beat(self, provider_id: str) -> PastBeat:
        """Runs a heartbeat of the provider now and returns its result."""
        return deserialize_beat(self._send(BeatNow(provider_id))["beat"])

    def models(self, provider_id: str) -> list[Any]:
        """Returns the models that the provider lists."""
        return list(self._send(ListModels(provider_id))["models"])

    def _send(self, command: BeatNow | ListModels) -> dict[str, Any]:
        result = self._invoke(to_json(command))
        if "error" in result:
            raise RelayedError(result["error"])
        return result

    def _invoke(self, payload: str) -> dict[str, Any]:
        try:
            response = self._client.invoke(FunctionName=self._name, Payload=payload)
            content = response["Payload"].read()
        except ReadTimeoutError:
            raise HeartbeatTimeout(TIMEOUT_SECONDS) from None
        except (BotoCoreError, ClientError):
            raise HeartbeatFailed from None
        # The text of a FunctionError belongs in that function's logs only.
        if response.get("FunctionError"):
            raise HeartbeatFailed
        return dict(json.loads(content))
