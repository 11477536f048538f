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
TROUBLE_SECONDS = 1.0  # after a read that failed
STAGES = ("AWSCURRENT", "AWSPREVIOUS")  # the previous one still opens, so that a rotation breaks no client


class Tokens:
    """Tells whose a token is. The secrets are read when first asked, after a minute, and soon after a miss.

    A reading that fails leaves the last values in force, counts for nothing, and is not repeated for five seconds.
    """

    def __init__(
        self,
        secrets: "SecretsManagerClient",
        *,
        admin_secret: str,
        client_secret: str,
        clock: Callable[[], float] = time.time,  # the monotonic one stops while Lambda freezes the environment
    ) -> None:
        self._secrets = secrets
        self._names: dict[Role, str] = {"admin": admin_secret, "client": client_secret}
        self._clock = clock
        self._values: dict[Role, tuple[str, ...]] = {}
        self._trouble: Exception | None = None
        self._read_at = self._tried_at = float("-inf")

    def role_of(self, token: str) -> Role | None:
        """The role that a token opens, or None. Raises botocore's errors when it may be one that could not be read: a
        client tries a 500 again, and a 401 never."""
        old = self._age(self._read_at) > FRESH_SECONDS
        if self._unread or (old and self._may_try):
            self._read()
        role = self._match(token)
        if role is None and self._may_try:
            self._read()
            role = self._match(token)
        if role is None and self._trouble:
            raise self._trouble
        return role

    @property
    def _unread(self) -> bool:
        return len(self._values) < len(self._names)

    @property
    def _may_try(self) -> bool:
        return self._age(self._tried_at) > (TROUBLE_SECONDS if self._trouble else MISS_SECONDS)

    def _age(self, moment: float) -> float:
        age = self._clock() - moment
        return age if age >= 0 else float("inf")  # a clock that was set back makes nothing young again

    def _match(self, token: str) -> Role | None:
        found: Role | None = None
        given = token.encode("utf-8", "surrogatepass")  # a lone surrogate is a wrong token, not a failure
        for role, values in self._values.items():
            for value in values:  # every one is compared, so that the time taken tells nothing
                if hmac.compare_digest(value.encode(), given):
                    found = role
        return found

    def _read(self) -> None:
        self._tried_at, self._trouble = self._clock(), None
        for (
            role,
            name,
        ) in self._names.items():  # one that is lost holds up no rotation of the other
            try:
                self._values[role] = self._stages(name)
            except (BotoCoreError, ClientError) as error:
                self._trouble = error
        if self._trouble is None:
            self._read_at = self._tried_at

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
