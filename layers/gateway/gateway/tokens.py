"""The two tokens that open the gateway, kept in Secrets Manager."""

import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

Role = Literal["admin", "client"]

FRESH_SECONDS = 60.0
MISS_SECONDS = 5.0
STAGES = ("AWSCURRENT", "AWSPREVIOUS")  # the previous one still opens, so that a rotation breaks no client


class Tokens:
    """Tells whose a token is. The secrets are read when first asked, after a minute, and soon after a miss."""

    def __init__(
        self,
        secrets: "SecretsManagerClient",
        *,
        admin_secret: str,
        client_secret: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets = secrets
        self._names: dict[Role, str] = {"admin": admin_secret, "client": client_secret}
        self._clock = clock
        self._values: dict[Role, tuple[str, ...]] = {}
        self._read_at = float("-inf")

    def role_of(self, token: str) -> Role | None:
        """The role that a token opens, or None. Raises botocore's errors when the secrets were never read."""
        if self._age() > FRESH_SECONDS:
            self._read()
        role = self._match(token)
        if role is None and self._age() > MISS_SECONDS:
            self._read()
            role = self._match(token)
        return role

    def _age(self) -> float:
        return self._clock() - self._read_at

    def _match(self, token: str) -> Role | None:
        found: Role | None = None
        for role, values in self._values.items():
            for value in values:  # every one is compared, so that the time taken tells nothing
                if hmac.compare_digest(value.encode(), token.encode()):
                    found = role
        return found

    def _read(self) -> None:
        try:
            self._values = {role: self._stages(name) for role, name in self._names.items()}
        except (BotoCoreError, ClientError):
            if not self._values:
                raise
        self._read_at = self._clock()

    def _stages(self, name: str) -> tuple[str, ...]:
        values = (self._stage(name, stage) for stage in STAGES)
        return tuple(value for value in values if value)

    def _stage(self, name: str, stage: str) -> str | None:
        try:
            return self._secrets.get_secret_value(SecretId=name, VersionStage=stage)["SecretString"]
        except self._secrets.exceptions.ResourceNotFoundException:
            if stage == "AWSCURRENT":
                raise
            return None  # never rotated
