from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.local.running_server import make_function
from tools.local.role_credentials import RoleCredentials


class Sts:
    """Returns credentials that expire after a fixed time, and counts the calls."""

    def __init__(self, lifetime: timedelta) -> None:
        self.calls = 0
        self.time = datetime.now(UTC)
        self._lifetime = lifetime

    def now(self) -> datetime:
        return self.time

    def assume_role(self, **request: str) -> dict[str, Any]:
        self.calls += 1
        assert len(request["RoleSessionName"]) <= 64
        return {
            "Credentials": {
                "AccessKeyId": f"{request['RoleArn']} {self.calls}",
                "SecretAccessKey": "secret",
                "SessionToken": "session",
                "Expiration": self.time + self._lifetime,
            }
        }


@pytest.mark.parametrize(("lifetime", "calls"), [(timedelta(hours=1), 1), (timedelta(minutes=4), 2)])
def test_caches_credentials_until_shortly_before_they_expire(tmp_path: Path, lifetime: timedelta, calls: int) -> None:
    sts = Sts(lifetime)
    credentials, function = RoleCredentials(sts), make_function(tmp_path)

    credentials(function)
    variables = credentials(function)

    assert variables == {
        "AWS_ACCESS_KEY_ID": f"{function.role_arn} {calls}",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "session",
    }
    assert sts.calls == calls


@pytest.mark.parametrize("moved", [timedelta(days=1), timedelta(days=-1)], ids=["forward", "back"])
def test_renews_credentials_after_the_clock_was_moved(tmp_path: Path, moved: timedelta) -> None:
    sts = Sts(timedelta(hours=1))
    credentials, function = RoleCredentials(sts, sts.now), make_function(tmp_path)
    credentials(function)

    sts.time += moved
    for _ in range(2):
        credentials(function)

    assert sts.calls == 2
