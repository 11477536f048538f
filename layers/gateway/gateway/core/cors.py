"""Cross-origin requests: pages of the allowed origins may call the gateway, each with its own token."""

from collections.abc import Mapping

from gateway.core.errors import OriginNotAllowed

METHODS = "GET, POST, PUT, PATCH, DELETE"
# `*` does not include Authorization: browsers need its name.
REQUEST_HEADERS = "Authorization, *"
# A list cannot name a family of headers, so these are the members that OpenAI and Anthropic document.
OPENAI_LIMITS = [
    f"X-RateLimit-{measure}-{unit}" for measure in ("Limit", "Remaining", "Reset") for unit in ("Requests", "Tokens")
]
ANTHROPIC_LIMITS = [
    f"Anthropic-RateLimit-{unit}-{measure}"
    for unit in ("Requests", "Tokens", "Input-Tokens", "Output-Tokens")
    for measure in ("Limit", "Remaining", "Reset")
]
EXPOSED_HEADERS = ", ".join(
    [
        "ETag, Idempotency-Replay, Location, Request-Id, Retry-After, Retry-After-Ms, Server-Timing, X-Alias-From",
        "X-Error-Source, X-Model-Substituted, X-Negotiated-Model, X-Provider-Id, X-Provider-Status, X-Request-Id",
        "X-Should-Retry, X-Translated",
        *OPENAI_LIMITS,
        *ANTHROPIC_LIMITS,
    ]
)
PREFLIGHT_SECONDS = 3600


class Cors:
    """CORS headers for pages of `origins`. Never allows credentials, and never every origin."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def headers(self, request: Mapping[str, str]) -> dict[str, str]:
        """Returns the CORS headers of the response to a request with these headers."""
        if not self._origins:
            return {}
        # Sent without an Origin too: a cache must not return the response for one origin to another.
        vary = {"vary": "Origin"}
        origin = _origin(request)
        if origin not in self._origins:
            return vary
        return vary | {"access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED_HEADERS}

    def preflight(self, request: Mapping[str, str]) -> dict[str, str]:
        """Returns the headers of the response to a preflight. Raises OriginNotAllowed."""
        if _origin(request) not in self._origins:
            raise OriginNotAllowed
        return self.headers(request) | {
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": REQUEST_HEADERS,
            "access-control-max-age": str(PREFLIGHT_SECONDS),
        }


def _origin(request: Mapping[str, str]) -> str:
    return next((value for name, value in request.items() if name.lower() == "origin"), "")
