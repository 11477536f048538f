"""Under `sam local` only: the containers call the local AWS, and where there is none they say what to start."""

import socket
from typing import Any
from urllib.parse import urlsplit

from gateway.core.errors import GatewayError
from gateway.core.settings import AwsSettings

START = "The local AWS does not run: start it with `make dev`, or with `make aws` alone, and try again."
ANSWERS_WITHIN_S = 2.0


def require_local_aws(settings: AwsSettings) -> None:
    """Looks before every AWS call that the local AWS is there; the call raises GatewayError if it is not.

    `sam local` hands the credentials of the shell to the containers: a call must never go to the AWS that they open.
    To be called before the first client is made. Does nothing in Lambda.
    """
    if not settings.sam_local:
        return
    import boto3  # the functions bring it; nothing else here needs it

    def look(**_request: Any) -> None:
        _look(settings.aws_endpoint_url)

    session = boto3.Session()
    session.events.register("before-send", look)
    boto3.DEFAULT_SESSION = session


def _look(url: str | None) -> None:
    if url is None:
        raise GatewayError(START)
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=ANSWERS_WITHIN_S).close()
    except OSError:
        raise GatewayError(START) from None
