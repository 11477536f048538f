"""Providers that the smoke test registers, and removes again whatever came of it."""

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tools.smoke.check import require
from tools.smoke.contract import told
from tools.smoke.wire import Gateway, Reply

PROVIDERS = "/api/v1/providers"


@dataclass(frozen=True)
class ThrowAway:
    """A provider of one check: where it is, what it was registered with, and the answer to that."""

    path: str
    body: dict[str, Any]
    made: Reply


@contextmanager
def throw_away(gateway: Gateway, **more: object) -> Iterator[ThrowAway]:
    """A provider for one check. Raises Failed when it could not be made."""
    body = throw_away_body(gateway) | more
    with registered(gateway, body) as made:
        require(made.status == 201, told(made))
        yield ThrowAway(f"{PROVIDERS}/{body['id']}", body, made)


def throw_away_body(gateway: Gateway) -> dict[str, Any]:
    """Without a key, and never called: its endpoint is one that this gateway takes, no more."""
    return {"id": throw_away_id(), "endpoint": under_test(gateway)["endpoint"], "heartbeat": {"enabled": False}}


def throw_away_id() -> str:
    return f"smoke-{secrets.token_hex(8)}"


def under_test(gateway: Gateway) -> dict[str, Any]:
    """The provider that requests go to: the one that was registered for the run, else the default."""
    reply = gateway.ask("GET", PROVIDERS)
    known = reply.json()
    require(reply.status == 200 and isinstance(known, list), told(reply))
    wanted = {"id": gateway.provider} if gateway.provider else {"default": True}
    mine: list[dict[str, Any]] = [one for one in known if wanted.items() <= one.items()]
    require(mine, f"{gateway.provider or 'no default provider'} among {len(known)} that are registered")
    return mine[0]


@contextmanager
def registered(gateway: Gateway, body: Mapping[str, Any]) -> Iterator[Reply]:
    """The answer to a registration. What it may have made is removed at the end: a refusal has made nothing, a lost
    answer may have. One that stays is told, and the outcome of the checks stands."""
    is_refused = False
    try:
        reply = gateway.ask("POST", PROVIDERS, body)
        is_refused = 400 <= reply.status < 500
        yield reply
    finally:
        trouble = None if is_refused else removed(gateway, body["id"])
        if trouble:
            print(f"The provider {body['id']} may still be registered, delete it yourself: {trouble}", file=sys.stderr)


def removed(gateway: Gateway, provider: str) -> str | None:
    """What stood in the way, or None."""
    try:
        gone = gateway.ask("DELETE", f"{PROVIDERS}/{provider}")
    except OSError as error:
        return str(error)
    return None if gone.status in (204, 404) else told(gone)
