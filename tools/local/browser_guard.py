"""Protects the local servers from web pages that the developer has open in a browser.

The rules rely on what a page cannot do. It cannot omit `Origin` from a request that sends data. It can omit it from a
plain GET, but then it cannot read the response. It cannot choose `Host`, and it cannot send a custom header before a
CORS preflight has allowed it.
"""

import ipaddress
from collections.abc import Iterable, Mapping

_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "[::1]"}
# Where clients of OpenAI, Anthropic, Azure and Google put a key. A wrong one must not be replaced by the admin token.
_CREDENTIAL_HEADERS = ("Authorization", "x-api-key", "api-key", "x-goog-api-key")
_SAME_SITE_VALUES = {"none", "same-origin"}
# Docker Desktop's name for the host, as containers see it.
_DOCKER_HOST_NAME = "host.docker.internal"

# The local AWS rejects these headers of web pages, so the API server forwards them to it under other names.
FORWARDED_NAMES = {name: f"x-front-{name}" for name in ("origin", "sec-fetch-site")}


def is_loopback_host(host: str | None) -> bool:
    """Returns whether a `Host` header names this machine. An attacker's page can point any other name here."""
    name = _host_name(host)
    return name is not None and name in _LOOPBACK_NAMES


def is_local_host(host: str | None) -> bool:
    """Like `is_loopback_host`, for servers that containers call. Also accepts IP addresses, which DNS cannot rebind."""
    name = _host_name(host)
    if name is None:
        return False
    return name in ("localhost", _DOCKER_HOST_NAME) or name.endswith(".localhost") or _is_address(name)


def is_anonymous_same_site(headers: Mapping[str, str]) -> bool:
    """Returns whether a request has no credentials and cannot come from another site's page.

    `headers` is a multidict: a header that was sent twice has two items.
    """
    if any(name in headers for name in (*_CREDENTIAL_HEADERS, "Origin")):
        return False
    sites = [value for name, value in headers.items() if name.lower() == "sec-fetch-site"]
    # A browser sends the header once. A program that sends it twice may relay a page's request.
    return len(sites) < 2 and not any(_is_cross_site(site) for site in sites)


def rejection_reason(headers: Iterable[tuple[str, str]]) -> str | None:
    """Returns why a server for programs rejects a request, as the predicate of a sentence, or None to accept it."""
    pairs = [(name.lower(), value) for name, value in headers]
    hosts = [value for name, value in pairs if name == "host"]
    if len(hosts) != 1 or not is_local_host(hosts[0]):
        return "rejects this Host header: call it by localhost or an IP address"
    if any(name == "origin" or (name == "sec-fetch-site" and _is_cross_site(value)) for name, value in pairs):
        return "rejects requests from web pages"
    return None


def _is_cross_site(sec_fetch_site: str | None) -> bool:
    return sec_fetch_site is not None and sec_fetch_site not in _SAME_SITE_VALUES


def _host_name(host: str | None) -> str | None:
    """Returns a `Host` header's name in lower case without the port, or None if the header is missing or invalid."""
    if host is None:
        return None
    bracket = host.find("]")
    name = host[: bracket + 1] if bracket >= 0 else host.partition(":")[0]
    port = host[len(name) :]
    return name.lower() if not port or (port[0] == ":" and port[1:].isdigit()) else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
