"""`make e2e`: the contract against a deployed gateway, and what only AWS can show, as a table.

By the environment, so that no process has a token in its arguments: URL (as the stack's outputs have it), TOKEN (the
admin's), CLIENT_TOKEN (optional), and PROVIDER_ENDPOINT with PROVIDER_KEY for a TokenHub that is registered for the
run; without them requests go to the default provider.
"""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tools.smoke import contract, providers, routes, streams
from tools.smoke.check import Against, Check, Failed, Skipped
from tools.smoke.registration import registered
from tools.smoke.wire import Gateway

CHECKS = contract.CHECKS + providers.CHECKS + routes.CHECKS + streams.CHECKS


def main(environ: Mapping[str, str]) -> int:
    """The number of checks that failed. Exits with a sentence when there is nothing to check."""
    url, token = environ.get("URL"), environ.get("TOKEN")
    if not url or not token:
        sys.exit("URL and TOKEN (the admin's) must be set. The outputs of the stack tell the URL and print the token.")
    try:
        with of_the_run(Gateway(url, token), environ) as provider:
            gateway = Gateway(url, token, provider)
            against = Against(gateway, environ.get("CLIENT_TOKEN") or None, is_rehearsal(gateway))
            behind = "the rehearsal TokenHub" if against.rehearsal else "a TokenHub of yours"
            print(f"{gateway.url}, {behind} behind it.\n\n| | Check | Expected | Seen |\n|---|---|---|---|")
            failed = sum(report(check, against) for check in CHECKS)
    except (Failed, OSError) as error:
        sys.exit(f"{url} could not be checked: {error}")
    print(f"\n{failed} of {len(CHECKS)} failed." if failed else "\nNone failed.")
    return failed


def report(check: Check, against: Against) -> bool:
    """Prints a row of the table as soon as it is known. True if the check failed."""
    try:
        mark, seen = "ok", check.run(against)
    except Skipped as reason:
        mark, seen = "skipped", str(reason)
    except Failed as failure:
        mark, seen = "FAILED", str(failure)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:  # of a shape that no one expects
        mark, seen = "FAILED", f"{type(error).__name__}: {error}"
    print(f"| {mark} | {check.name} | {check.expected} | {seen.replace('|', '¦')} |", flush=True)
    return mark == "FAILED"


def is_rehearsal(gateway: Gateway) -> bool:
    """Whether its list of models is the rehearsal TokenHub's."""
    found = gateway.ask("GET", "/v1/models").json()
    models = found.get("data") if isinstance(found, dict) else None
    return any(model.get("owned_by") == "rehearsal" for model in models or ())


@contextmanager
def of_the_run(gateway: Gateway, environ: Mapping[str, str]) -> Iterator[str | None]:
    """The id of the provider that was asked for, registered for the run: a new one, so that none of yours is replaced.

    Raises Failed when it could not be registered.
    """
    endpoint = environ.get("PROVIDER_ENDPOINT")
    if not endpoint:
        yield None
        return
    provider = f"smoke-test-{secrets.token_hex(4)}"
    body = {"id": provider, "endpoint": endpoint} | ({"api_key": key} if (key := environ.get("PROVIDER_KEY")) else {})
    with registered(gateway, body) as reply:
        if reply.status not in (200, 201):
            raise Failed(f"the provider could not be registered: {contract.told(reply)}")
        yield provider


if __name__ == "__main__":
    sys.exit(min(main(os.environ), 1))
