"""Temporary credentials of the functions' roles."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tools.local.deployment import Function

RENEW_BEFORE = timedelta(minutes=5)


class RoleCredentials:
    """Assumes the functions' roles, and caches the credentials until shortly before they expire.

    Also renews them if the clock was set back since, because they may expire earlier than the clock shows.
    """

    def __init__(self, sts: Any, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._sts = sts
        self._now = now
        # By role: when the credentials were received, when to renew them, and the variables.
        self._cache: dict[str, tuple[datetime, datetime, dict[str, str]]] = {}

    def __call__(self, function: Function) -> dict[str, str]:
        """Returns the environment variables that Lambda would set for `function`. Blocks for some milliseconds."""
        never, now = datetime.min.replace(tzinfo=UTC), self._now()
        received_at, renew_at, variables = self._cache.get(function.role_arn, (never, never, {}))
        if not received_at <= now <= renew_at:
            role = self._sts.assume_role(RoleArn=function.role_arn, RoleSessionName=function.name[:64])
            credentials = role["Credentials"]
            variables = {
                "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
                "AWS_SESSION_TOKEN": credentials["SessionToken"],
            }
            self._cache[function.role_arn] = now, credentials["Expiration"] - RENEW_BEFORE, variables
        return dict(variables)
