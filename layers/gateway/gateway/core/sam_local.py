"""Under `sam local`: explains how to start the local AWS if it does not run."""

import socket
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from gateway.core.aws_settings import AwsSettings
from gateway.core.errors import GatewayError

NOT_RUNNING = "The local AWS is not running. Start it with `make dev` or `make aws`, and try again."
CONNECT_TIMEOUT_S = 2.0


def local_aws_check(settings: AwsSettings) -> Callable[[], None]:
    """Returns a function for `AwsApi` to call before each request. It raises as `require_local_aws` describes."""
    return partial(_check_connection, settings.aws_endpoint_url) if settings.sam_local else lambda: None


def require_local_aws(settings: AwsSettings) -> None:
    """Makes every call of boto3 raise GatewayError if the local AWS does not run. Does nothing in Lambda.

    Call it before you create the first client. `sam local` passes the shell's credentials to its containers, and no
    call may reach the real AWS account that they belong to.
    """
    if not settings.sam_local:
        return
    # Imported here, because Lambda's runtime has boto3 and the layer does not.
    import boto3

    def check(**_request: Any) -> None:
        _check_connection(settings.aws_endpoint_url)

    session = boto3.Session()
    session.events.register("before-send", check)
    boto3.DEFAULT_SESSION = session


def _check_connection(url: str | None) -> None:
    if url is None:
        raise GatewayError(NOT_RUNNING)
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        raise GatewayError(NOT_RUNNING) from None
