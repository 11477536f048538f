"""Which local requests are believed: the rules that keep a web page in the developer's browser away from the system.

A page cannot leave out `Origin` where it sends anything (it may at a plain GET, whose answer it then cannot read), nor
choose `Host`, nor send a header of its own before a preflight has allowed it.
"""

import ipaddress
from collections.abc import Iterable, Mapping

_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "[::1]"}
_NOT_BARE = ("Authorization", "x-api-key", "Origin")
_OWN_SITE = {"none", "same-origin"}
_CONTAINERS_NAME_FOR_US = "host.docker.internal"

# What the front calls a page's header when it hands it to the local AWS.
PROXIED = {name: f"x-front-{name}" for name in ("origin", "sec-fetch-site")}


def is_loopback_host(host: str | None) -> bool:
    """Whether a `Host` header names this machine. Anything else is a name that a web page had pointed here."""
    name = _name(host)
    return name is not None and name in _LOOPBACK_NAMES


def is_local_host(host: str | None) -> bool:
    """As `is_loopback_host`, for servers that containers call, too. No page can have pointed an address here."""
    name = _name(host)
    if name is None:
        return False
    return name in ("localhost", _CONTAINERS_NAME_FOR_US) or name.endswith(".localhost") or _is_address(name)


def is_bare(headers: Mapping[str, str]) -> bool:
    """Whether a request carries no credentials of its own and no other site's page can have sent it."""
    return not any(name in headers for name in _NOT_BARE) and not _of_another_site(headers.get("Sec-Fetch-Site"))


def refusal(headers: Iterable[tuple[str, str]]) -> str | None:
    """Why a server that only programs may call does not answer a request with these headers; None: it does."""
    found = [(name.lower(), value) for name, value in headers]
    hosts = [value for name, value in found if name == "host"]
    if len(hosts) != 1 or not is_local_host(hosts[0]):
        return "answers to localhost and to addresses only, not to this Host"
    if any(name == "origin" or (name == "sec-fetch-site" and _of_another_site(value)) for name, value in found):
        return "does not answer web pages"
    return None


def _of_another_site(site: str | None) -> bool:
    return site is not None and site not in _OWN_SITE


def _name(host: str | None) -> str | None:
    """Without the port; None where there is none, or more than that."""
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
