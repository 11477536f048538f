"""`python -m tools.ops.rotate [client|admin] [ENV] [--revoke]`: a new token; the old one stays valid beside it, or not.

The new token goes to standard output alone, words to standard error. No token is ever in an argument or a log.
"""

import argparse
import os
import secrets
import string
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.local.settings import REPOSITORY, LocalError, Settings
from tools.ops.tokens import OUTPUTS, Clients, deployed, running, secret_of

LENGTH = 48
ALPHABET = string.ascii_letters + string.digits  # as the stack generates them
KNOWN_AFTER_S = 6  # the authorizer looks for an unknown token at most every 5 s
DEAD_AFTER = timedelta(seconds=60, minutes=5)  # the authorizer's memory, then API Gateway's


class Half(LocalError):
    """The first of two rotations was done, the second was not."""


def rotate(store: Any, secret: str, *, revoke: bool) -> str:
    """The new token. The one before stays valid as AWSPREVIOUS; `revoke` rotates twice, so that it does not."""
    if revoke:
        _put(store, secret)
    try:
        return _put(store, secret)
    except (BotoCoreError, ClientError) as error:
        if revoke:
            raise Half(
                f"Only half is done ({error}): the old token still opens, and the new one was not shown. Run it again."
            ) from None
        raise


def _put(store: Any, secret: str) -> str:
    token = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    store.put_secret_value(SecretId=secret, SecretString=token)
    return token


def words(role: str, now: datetime, *, revoke: bool) -> str:
    """What is true now, for a reader."""
    if revoke:
        return f"The old {role} tokens are dead from {now + DEAD_AFTER:%H:%M:%S} UTC on; the new one opens now."
    return f"The new {role} token opens now. The old one opens too, until the next rotation; REVOKE=1 ends it."


def main(sleep: Callable[[float], None] = time.sleep) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.ops.rotate", description=__doc__)
    parser.add_argument("role", nargs="?", choices=tuple(OUTPUTS), default="client")
    parser.add_argument("environment", nargs="?", default="local", metavar="ENV")
    parser.add_argument("--revoke", action="store_true", help="end the old token, too")
    chosen = parser.parse_args()
    try:
        clients = _clients(chosen.environment)
        token = rotate(clients.secrets, secret_of(clients, chosen.role), revoke=chosen.revoke)
    except LocalError as error:
        sys.exit(str(error))
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"No token was rotated: {error}")
    now = datetime.now(UTC)
    sleep(KNOWN_AFTER_S)  # so that whoever reads the token can use it at once
    print(token)
    print(words(chosen.role, now, revoke=chosen.revoke), file=sys.stderr)


def _clients(environment: str) -> Clients:
    if environment == "local":
        return running(Settings.from_environ(os.environ).aws_url)
    return deployed(REPOSITORY / "samconfig.toml", environment)


if __name__ == "__main__":
    main()
