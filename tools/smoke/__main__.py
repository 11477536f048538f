"""`make e2e [ENV=dev]`: runs the smoke test against a deployed gateway and prints a table.

Reads the environment, so that no process has a token in its arguments: URL (an output of the stack), TOKEN (the
admin token), CLIENT_TOKEN (optional), and PROVIDER_ENDPOINT with PROVIDER_KEY for a TokenHub that is registered for
the run. Without these two, requests go to the default provider. It then prints the init durations of the environment's
functions.
"""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tools.smoke import contract, providers, routes, streams
from tools.smoke.check import Check, Failed, Skipped, Target
from tools.smoke.init_durations import describe_init_durations
from tools.smoke.registration import registered
from tools.smoke.wire import Gateway

CHECKS = contract.CHECKS + providers.CHECKS + routes.CHECKS + streams.CHECKS


def main(environ: Mapping[str, str], environment: str = "local") -> int:
    """Runs all checks and returns the number that failed. Exits with one sentence when the gateway is unreachable.

    `environment` is a section of samconfig.toml, whose stack has the logs.
    """
    url, token = environ.get("URL"), environ.get("TOKEN")
    if not url or not token:
        sys.exit("URL or TOKEN is not set. Export the gateway's URL as URL and the admin token as TOKEN.")
    try:
        with provider_for_the_run(Gateway(url, token), environ) as provider:
            gateway = Gateway(url, token, provider)
            target = Target(gateway, environ.get("CLIENT_TOKEN") or None, has_rehearsal_models(gateway))
            tokenhub = "the rehearsal TokenHub" if target.is_rehearsal else "a real TokenHub"
            print(f"{gateway.url} with {tokenhub}.\n\n| | Check | Expected | Actual |\n|---|---|---|---|")
            failed = sum(report(check, target) for check in CHECKS)
    except (Failed, OSError) as error:
        sys.exit(f"The gateway {url} cannot be tested: {error}")
    print(f"\n{describe_init_durations(environment)}")
    print(f"\n{failed} of {len(CHECKS)} checks failed." if failed else "\nAll checks passed.")
    return failed


def report(check: Check, target: Target) -> bool:
    """Runs a check and prints its row of the table. Returns whether it failed."""
    try:
        outcome, actual = "ok", check.run(target)
    except Skipped as reason:
        outcome, actual = "skipped", str(reason)
    except Failed as failure:
        outcome, actual = "FAILED", str(failure)
    # A response with an unexpected structure raises these.
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        outcome, actual = "FAILED", f"{type(error).__name__}: {error}"
    print(f"| {outcome} | {check.name} | {check.expected} | {actual.replace('|', '¦')} |", flush=True)
    return outcome == "FAILED"


def has_rehearsal_models(gateway: Gateway) -> bool:
    """Returns whether the gateway lists the models of the rehearsal TokenHub."""
    body = gateway.request("GET", "/v1/models").json()
    models = body.get("data") if isinstance(body, dict) else None
    return any(model.get("owned_by") == "rehearsal" for model in models or ())


@contextmanager
def provider_for_the_run(gateway: Gateway, environ: Mapping[str, str]) -> Iterator[str | None]:
    """Registers PROVIDER_ENDPOINT under a new id and yields the id; yields None without PROVIDER_ENDPOINT.

    A new id replaces no existing provider. Raises Failed when the registration fails.
    """
    endpoint = environ.get("PROVIDER_ENDPOINT")
    if not endpoint:
        yield None
        return
    provider = f"smoke-test-{secrets.token_hex(4)}"
    body = {"id": provider, "endpoint": endpoint} | ({"api_key": key} if (key := environ.get("PROVIDER_KEY")) else {})
    with registered(gateway, body) as response:
        if response.status not in (200, 201):
            raise Failed(f"The provider cannot be registered: {contract.describe(response)}")
        yield provider


if __name__ == "__main__":
    sys.exit(min(main(os.environ, *sys.argv[1:2]), 1))
