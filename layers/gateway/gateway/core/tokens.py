"""The admin token and the client token, which are stored in Secrets Manager."""

import hmac
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from gateway.core.aws_api import AwsApi

Role = Literal["admin", "client"]

MAX_AGE_SECONDS = 60.0
# The minimum time between two reads after an unknown token.
MISS_INTERVAL_SECONDS = 5.0
# The same after a failed read.
RETRY_INTERVAL_SECONDS = 1.0
# The previous token stays valid, so that a rotation breaks no client.
STAGES = ("AWSCURRENT", "AWSPREVIOUS")


class SupportsGetSecretValue(Protocol):
    """SecretsApi, or boto3's client of Secrets Manager."""

    def get_secret_value(self, **parameters: Any) -> Any: ...


class SecretsApi:
    """Secrets Manager without botocore's client. Has only the operation that the authorizer needs."""

    def __init__(self, secrets: AwsApi) -> None:
        self._secrets = secrets

    def get_secret_value(self, **parameters: Any) -> dict[str, Any]:
        """Takes the parameters of boto3's `get_secret_value` and returns its fields."""
        return self._secrets.call("GetSecretValue", parameters)


class Tokens:
    """Maps a token to its role. Reads the secrets on first use, when they are a minute old, and for an unknown token.

    A failed read keeps the last values, and is retried after a second.
    """

    def __init__(
        self,
        secrets: SupportsGetSecretValue,
        *,
        admin_secret: str,
        client_secret: str,
        # The monotonic clock stops while Lambda freezes the environment.
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = secrets
        self._names: dict[Role, str] = {"admin": admin_secret, "client": client_secret}
        self._clock = clock
        self._values: dict[Role, tuple[str, ...]] = {}
        self._failure: Exception | None = None
        self._read_at = self._tried_at = float("-inf")

    def role_of(self, token: str) -> Role | None:
        """Returns the role of a token, or None if the token is wrong.

        Raises botocore's errors if the secrets could not be read and the token may be new: clients retry a 500, and
        never a 401.
        """
        old = self._age(self._read_at) > MAX_AGE_SECONDS
        if self._incomplete or (old and self._may_read):
            self._read()
        role = self._match(token)
        if role is None and self._may_read:
            self._read()
            role = self._match(token)
        if role is None and self._failure:
            raise self._failure
        return role

    @property
    def _incomplete(self) -> bool:
        return len(self._values) < len(self._names)

    @property
    def _may_read(self) -> bool:
        interval = RETRY_INTERVAL_SECONDS if self._failure else MISS_INTERVAL_SECONDS
        return self._age(self._tried_at) > interval

    def _age(self, moment: float) -> float:
        age = self._clock() - moment
        # If the clock was set back, everything counts as old.
        return age if age >= 0 else float("inf")

    def _match(self, token: str) -> Role | None:
        match: Role | None = None
        # A token with a lone surrogate is wrong. It must not raise.
        encoded = token.encode("utf-8", "surrogatepass")
        for role, values in self._values.items():
            # Compares all values, so that the time reveals nothing.
            for value in values:
                if hmac.compare_digest(value.encode(), encoded):
                    match = role
        return match

    def _read(self) -> None:
        self._tried_at, self._failure = self._clock(), None
        for role, name in self._names.items():
            # If one secret cannot be read, the other one is still updated.
            try:
                self._values[role] = self._stages(name)
            except (BotoCoreError, ClientError) as error:
                self._failure = error
        if self._failure is None:
            self._read_at = self._tried_at

    def _stages(self, name: str) -> tuple[str, ...]:
        values = (self._stage(name, stage) for stage in STAGES)
        return tuple(value for value in values if value)

    def _stage(self, name: str, stage: str) -> str | None:
        try:
            return str(self._secrets.get_secret_value(SecretId=name, VersionStage=stage)["SecretString"])
        except ClientError as error:
            if stage == "AWSCURRENT" or error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            # The secret was never rotated.
            return None
