"""Finds a running gateway by the name of its environment, and reads its providers."""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from tools.local.settings import REPOSITORY, Settings, UserError
from tools.ops.tokens import deployed_stack, local_token, read_token, stack_output

TIMEOUT_S = 15


@dataclass(frozen=True)
class Gateway:
    """A gateway's URL and admin token. `uses_proxy` is False on this machine."""

    url: str
    token: str = field(repr=False)
    uses_proxy: bool = True

    def providers(self) -> list[dict[str, Any]]:
        """Returns all providers as `GET /api/v1/providers` shows them. Raises UserError."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/api/v1/providers", headers={"Authorization": f"Bearer {self.token}"}
        )
        proxies = [] if self.uses_proxy else [urllib.request.ProxyHandler({})]
        try:
            with urllib.request.build_opener(*proxies).open(request, timeout=TIMEOUT_S) as response:
                providers = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise UserError(f"The gateway at {self.url} answered {error.code}{_reason(error)}") from None
        except (OSError, ValueError) as error:
            raise UserError(
                f"The gateway at {self.url} cannot be reached: {error}. Check the URL and the network."
            ) from None
        if not isinstance(providers, list):
            raise UserError(f"{self.url} answered something other than providers. Check the URL of the stack.")
        return providers


def find_gateway(environment: str) -> Gateway:
    """Returns the gateway of `make dev` for `local`, or else of the stack in samconfig.toml. Raises UserError."""
    if environment == "local":
        settings = Settings.from_environ(os.environ)
        return Gateway(settings.url, local_token(settings.aws_url, "admin"), uses_proxy=False)
    stack = deployed_stack(REPOSITORY / "samconfig.toml", environment)
    return Gateway(stack_output(stack, "Url"), read_token(stack, "admin"))


def _reason(error: urllib.error.HTTPError) -> str:
    """Returns the message of the gateway's error, or a full stop."""
    try:
        return f": {json.load(error)['error']['message']}"
    except (OSError, ValueError, TypeError, LookupError):
        return ". Check the URL of the stack."
