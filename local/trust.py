"""Which local requests the front believes: the two rules that keep a web page away from a local system."""

from collections.abc import Mapping

_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "[::1]"}
_NOT_BARE = ("Authorization", "x-api-key", "Origin")


def is_loopback_host(host: str | None) -> bool:
    """Whether a `Host` header names this machine. Anything else is a name that a web page had pointed here."""
    if host is None:
        return False
    bracket = host.find("]")
    name = host[: bracket + 1] if bracket >= 0 else host.partition(":")[0]
    port = host[len(name) :]
    return name.lower() in _LOOPBACK_NAMES and (not port or (port[0] == ":" and port[1:].isdigit()))


def is_bare(headers: Mapping[str, str]) -> bool:
    """Whether a request carries no credentials of its own and no other site's page can have sent it."""
    if any(name in headers for name in _NOT_BARE):
        return False
    return headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}
