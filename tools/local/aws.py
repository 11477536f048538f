"""boto3 clients of the local AWS. They never use the user's credentials and never call a real AWS endpoint."""

import functools
import ipaddress
import os
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config

from tools.local.settings import REGION, UserError

CONFIG = Config(proxies={}, retries={"total_max_attempts": 2}, connect_timeout=5, read_timeout=60)
# ministack maps this key pair to the account's root user. The pair is not valid on AWS.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
# Threads may share the clients of a session, but must not create them at the same time.
_LOCK = threading.Lock()


def client(service: str, url: str) -> Any:
    """Returns a boto3 client of the local AWS at `url`. Raises UserError unless `url` is a loopback URL."""
    with _LOCK:
        # boto3-stubs accepts literal service names only.
        return _session().client(service, endpoint_url=loopback(url), config=CONFIG)  # type: ignore[call-overload]


def resource(service: str, url: str) -> Any:
    """Returns a boto3 resource of the local AWS at `url`. Raises UserError unless `url` is a loopback URL."""
    with _LOCK:
        return _session().resource(service, endpoint_url=loopback(url), config=CONFIG)  # type: ignore[call-overload]


@functools.cache
def _session() -> boto3.Session:
    """Returns the session of this process, which ignores the user's profile and configuration files.

    A new session parses the service models again, which takes longer than the calls of a client.
    """
    ignored = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
    session = botocore.session.Session(
        session_vars={name: (None, None, value, None) for name, value in ignored.items()}
    )
    return boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
        botocore_session=session,
    )


def environment(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Returns `environ` changed for a program that may call only the local AWS at `url`."""
    without_aws = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
    no_proxy = ",".join(filter(None, (environ.get("NO_PROXY") or environ.get("no_proxy"), "127.0.0.1", "localhost")))
    return (
        without_aws
        | CREDENTIALS
        | {
            "AWS_ENDPOINT_URL": loopback(url),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
        }
    )


def loopback(url: str) -> str:
    """Returns `url` unchanged if its host is this machine's loopback. Raises UserError otherwise."""
    host = urlsplit(url).hostname or ""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UserError(f"{url!r} is not a loopback URL. The local system calls a loopback AWS endpoint only.")
    return url
