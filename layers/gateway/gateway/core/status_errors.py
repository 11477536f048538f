"""Errors of the status page. `errors.py` has the tree of all other errors."""

from gateway.core.errors import GatewayError


class StatusPageOff(GatewayError):
    """The parameter StatusPage does not open this route."""

    status = 404
    code = "status_page_off"
    retryable = False

    def __init__(self, *, public: bool) -> None:
        needed = "public" if public else "token or public"
        super().__init__(f"The template parameter StatusPage turns this route off. Set it to {needed} to use it.")


class ProviderNotHealthy(GatewayError):
    """The provider is failed, pending or out of date. Monitors and load balancers read the status only."""

    status = 503
    code = "provider_not_healthy"

    def __init__(self, state: str) -> None:
        super().__init__(f"The provider is {state}. GET /status shows the details.")
