"""Temporary credentials of the functions' roles."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tools.local.deployment import Function

RENEW_BEFORE = timedelta(minutes=5)


class RoleCredentials:
    """Assumes the functions' roles, and caches the credentials until shortly before they expire."""

    def __init__(self, sts: Any) -> None:
        self._sts = sts
        self._cache: dict[str, tuple[datetime, dict[str, str]]] = {}

    def __call__(self, function: Function) -> dict[str, str]:
        """Returns the environment variables that Lambda would set for `function`. Blocks for some milliseconds."""
        renew_at, variables = self._cache.get(function.role_arn, (datetime.min.replace(tzinfo=UTC), {}))
        if renew_at < datetime.now(UTC):
            role = self._sts.assume_role(RoleArn=function.role_arn, RoleSessionName=function.name[:64])
            credentials = role["Credentials"]
            variables = {
                "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
                "AWS_SESSION_TOKEN": credentials["SessionToken"],
            }
            self._cache[function.role_arn] = credentials["Expiration"] - RENEW_BEFORE, variables
        return dict(variables)
