"""Registers temporary providers for the smoke test and always removes them."""

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tools.smoke.check import require
from tools.smoke.contract import describe
from tools.smoke.wire import Gateway, Response

PROVIDERS = "/api/v1/providers"


@dataclass(frozen=True)
class TemporaryProvider:
    """A provider for one check: its path, the body of its registration and the response."""

    path: str
    body: dict[str, Any]
    created: Response


@contextmanager
def temporary_provider(gateway: Gateway, **fields: object) -> Iterator[TemporaryProvider]:
    """Registers a provider for one check. Raises Failed when the registration fails."""
    body = temporary_provider_body(gateway) | fields
    with registered(gateway, body) as created:
        require(created.status == 201, describe(created))
        yield TemporaryProvider(f"{PROVIDERS}/{body['id']}", body, created)


def temporary_provider_body(gateway: Gateway) -> dict[str, Any]:
    """Returns a registration without a key or heartbeats. Its endpoint is one that this gateway accepts."""
    return {"id": temporary_id(), "endpoint": tested_provider(gateway)["endpoint"], "heartbeat": {"enabled": False}}


def temporary_id() -> str:
    return f"smoke-{secrets.token_hex(8)}"


def tested_provider(gateway: Gateway) -> dict[str, Any]:
    """Returns the provider that serves the requests: the one registered for the run, else the default."""
    response = gateway.request("GET", PROVIDERS)
    listed = response.json()
    require(response.status == 200 and isinstance(listed, list), describe(response))
    expected = {"id": gateway.provider} if gateway.provider else {"default": True}
    matches: list[dict[str, Any]] = [provider for provider in listed if expected.items() <= provider.items()]
    require(matches, f"{gateway.provider or 'the default provider'} is missing among {len(listed)} registered ones")
    return matches[0]


@contextmanager
def registered(gateway: Gateway, body: Mapping[str, Any]) -> Iterator[Response]:
    """Sends a registration, yields the response, and deletes the provider at the end.

    A 4xx has created nothing; a lost response may have. A failed deletion is reported on standard error and does not
    change the outcome of the check.
    """
    is_rejected = False
    try:
        response = gateway.request("POST", PROVIDERS, body)
        is_rejected = 400 <= response.status < 500
        yield response
    finally:
        error = None if is_rejected else delete_provider(gateway, body["id"])
        if error:
            print(f"The provider {body['id']} may still be registered. Delete it: {error}", file=sys.stderr)


def delete_provider(gateway: Gateway, provider: str) -> str | None:
    """Deletes a provider. Returns a description of the failure, or None."""
    try:
        response = gateway.request("DELETE", f"{PROVIDERS}/{provider}")
    except OSError as error:
        return str(error)
    return None if response.status in (204, 404) else describe(response)
