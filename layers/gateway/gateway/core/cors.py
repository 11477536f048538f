"""Cross-origin requests: pages of the allowed origins may call the gateway, each with its own token."""

from collections.abc import Mapping

from gateway.core.errors import OriginNotAllowed

METHODS = "GET, POST, PUT, PATCH, DELETE"
# `*` does not include Authorization: browsers need its name.
REQUEST_HEADERS = "Authorization, *"
EXPOSED_HEADERS = (
    "ETag, Idempotency-Replay, Location, Retry-After, Server-Timing, X-Alias-From, X-Error-Source, "
    "X-Model-Substituted, X-Negotiated-Model, X-Provider-Id, X-Provider-Status, X-Request-Id, X-Should-Retry, "
    "X-Translated"
)
PREFLIGHT_SECONDS = 3600


class Cors:
    """CORS headers for pages of `origins`. Never allows credentials, and never every origin."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def headers(self, request: Mapping[str, str]) -> dict[str, str]:
        """Returns the CORS headers of the answer to a request with these headers."""
        if not self._origins:
            return {}
        # Sent without an Origin too: a cache must not give the answer for one origin to another.
        vary = {"vary": "Origin"}
        origin = _origin(request)
        if origin not in self._origins:
            return vary
        return vary | {"access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED_HEADERS}

    def preflight(self, request: Mapping[str, str]) -> dict[str, str]:
        """Returns the headers of the answer to a preflight. Raises OriginNotAllowed."""
        if _origin(request) not in self._origins:
            raise OriginNotAllowed
        return self.headers(request) | {
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": REQUEST_HEADERS,
            "access-control-max-age": str(PREFLIGHT_SECONDS),
        }


def _origin(request: Mapping[str, str]) -> str:
    return next((value for name, value in request.items() if name.lower() == "origin"), "")
