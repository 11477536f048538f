"""`python -m tools.ops.rotate [client|admin] [ENV] [--revoke]`: creates a new token.

The old token stays valid until the next rotation; `--revoke` invalidates it. Only the new token goes to standard
output, messages go to standard error. No token is ever in an argument or a log.
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

from tools.local.settings import REPOSITORY, Settings, UserError
from tools.ops.tokens import SECRET_OUTPUTS, StackClients, deployed_stack, local_stack, secret_arn

# Length and alphabet are those of the tokens that the stack generates.
TOKEN_LENGTH = 48
TOKEN_ALPHABET = string.ascii_letters + string.digits
# The authorizer looks up an unknown token at most every 5 s.
ACCEPTED_AFTER_S = 6
# The authorizer caches the secret for 60 s, then API Gateway caches the authorizer's result for 5 minutes.
REVOKED_AFTER = timedelta(seconds=60, minutes=5)


class RevocationIncomplete(UserError):
    """The first rotation of a revocation succeeded, the second failed."""


def rotate(store: Any, secret: str, *, revoke: bool) -> str:
    """Stores and returns a new token. The old one stays valid as AWSPREVIOUS; `revoke` rotates twice to remove it.

    Raises botocore's errors, and RevocationIncomplete when only the first of two rotations succeeded.
    """
    if revoke:
        _store_new_token(store, secret)
    try:
        return _store_new_token(store, secret)
    except (BotoCoreError, ClientError) as error:
        if revoke:
            raise RevocationIncomplete(
                f"The revocation is incomplete ({error}). The old token is still valid. Run the command again."
            ) from None
        raise


def _store_new_token(store: Any, secret: str) -> str:
    token = "".join(secrets.choice(TOKEN_ALPHABET) for _ in range(TOKEN_LENGTH))
    store.put_secret_value(SecretId=secret, SecretString=token)
    return token


def summary(role: str, now: datetime, *, revoke: bool) -> str:
    """Returns the message about the validity of the old and the new token."""
    if revoke:
        return f"The new {role} token is valid now. The old ones are invalid from {now + REVOKED_AFTER:%H:%M:%S} UTC."
    return f"The new {role} token is valid now. The old one stays valid until the next rotation; REVOKE=1 revokes it."


def main(sleep: Callable[[float], None] = time.sleep) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.ops.rotate", description=__doc__)
    parser.add_argument("role", nargs="?", choices=tuple(SECRET_OUTPUTS), default="client")
    parser.add_argument("environment", nargs="?", default="local", metavar="ENV")
    parser.add_argument("--revoke", action="store_true", help="invalidate the old token")
    options = parser.parse_args()
    try:
        clients = _clients(options.environment)
        token = rotate(clients.secrets, secret_arn(clients, options.role), revoke=options.revoke)
    except UserError as error:
        sys.exit(str(error))
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"No token was rotated: {error}")
    now = datetime.now(UTC)
    # The token is printed when the authorizer accepts it.
    sleep(ACCEPTED_AFTER_S)
    print(token)
    print(summary(options.role, now, revoke=options.revoke), file=sys.stderr)


def _clients(environment: str) -> StackClients:
    if environment == "local":
        return local_stack(Settings.from_environ(os.environ).aws_url)
    return deployed_stack(REPOSITORY / "samconfig.toml", environment)


if __name__ == "__main__":
    main()
