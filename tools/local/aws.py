"""Clients of the local AWS, and of nothing else: neither real credentials nor a real endpoint can slip in."""

import ipaddress
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config

from tools.local.settings import REGION, LocalError

CONFIG = Config(proxies={}, retries={"total_max_attempts": 2}, connect_timeout=5, read_timeout=60)
# ministack takes these two for the account's root, whatever they are on AWS.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def client(service: str, url: str) -> Any:
    """A boto3 client of the local AWS at `url`."""
    return _session().client(service, endpoint_url=loopback(url), config=CONFIG)  # type: ignore[call-overload]  # name not a literal


def resource(service: str, url: str) -> Any:
    """A boto3 resource of the local AWS at `url`."""
    return _session().resource(service, endpoint_url=loopback(url), config=CONFIG)  # type: ignore[call-overload]  # the same


def _session() -> boto3.Session:
    nothing = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
    session = botocore.session.Session(
        session_vars={name: (None, None, value, None) for name, value in nothing.items()}
    )
    return boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
        botocore_session=session,
    )


def environment(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a program that is to reach the local AWS only."""
    kept = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
    direct = ",".join(filter(None, (environ.get("NO_PROXY") or environ.get("no_proxy"), "127.0.0.1", "localhost")))
    return (
        kept
        | CREDENTIALS
        | {
            "AWS_ENDPOINT_URL": loopback(url),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": direct,
            "no_proxy": direct,
        }
    )


def loopback(url: str) -> str:
    """`url` itself, if it is one of this machine's own. Raises LocalError."""
    host = urlsplit(url).hostname or ""
    try:
        own = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = False
    if not own:
        raise LocalError(f"The local system uses a loopback AWS endpoint only, not {url!r}.")
    return url
