"""Which web pages may call: those of the allowed origins, each with a token that it brings along itself."""

from collections.abc import Mapping

from gateway.core.errors import OriginNotAllowed

METHODS = "GET, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = "Authorization, *"  # `*` are all but Authorization, which browsers want by its name
ANSWER_HEADERS = (
    "ETag, Idempotency-Replay, Location, Retry-After, Server-Timing, X-Alias-From, X-Error-Source, "
    "X-Model-Substituted, X-Negotiated-Model, X-Provider-Id, X-Provider-Status, X-Request-Id, X-Should-Retry"
)
PREFLIGHT_SECONDS = 3600


class Cors:
    """Headers for pages of `origins`; nobody else's page can read an answer. Never credentials, never every origin."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def headers(self, request: Mapping[str, str]) -> dict[str, str]:
        """What an answer to a request with these headers needs besides."""
        if not self._origins:
            return {}
        vary = {"vary": "Origin"}  # also without an origin: a cache must not give one's answer to the other
        origin = _origin(request)
        if origin not in self._origins:
            return vary
        return vary | {"access-control-allow-origin": origin, "access-control-expose-headers": ANSWER_HEADERS}

    def preflight(self, request: Mapping[str, str]) -> dict[str, str]:
        """The headers of the answer to a browser that asks whether it may. Raises OriginNotAllowed."""
        if _origin(request) not in self._origins:
            raise OriginNotAllowed
        return self.headers(request) | {
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": REQUEST_HEADERS,
            "access-control-max-age": str(PREFLIGHT_SECONDS),
        }


def _origin(request: Mapping[str, str]) -> str:
    return next((value for name, value in request.items() if name.lower() == "origin"), "")
