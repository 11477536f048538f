"""A provider's endpoint: normalised once, at registration, and refused where a key must never go."""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from gateway.core.errors import InvalidEndpoint

MAX_CHARACTERS = 2048
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
PASTED_SUFFIX = "/chat/completions"
EXAMPLE = "Write it like https://tokenhub.example.com/v1"

LOOPBACK = "endpoint is a loopback address: from AWS that is the gateway itself. Give TokenHub's own."

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NEVER = [
    ipaddress.ip_network("169.254.169.254"),  # instance metadata
    ipaddress.ip_network("fd00:ec2::/32"),  # and what else each instance finds there
    ipaddress.ip_network("fec0::/10"),  # site-local, which Python takes for global
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 of one's own: where the IPv4 address stands in it, nobody tells
]
EMBEDDING = [  # IPv6 networks that lead to the IPv4 address inside, by how far it is from the end in bits
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),  # SIIT
    (ipaddress.IPv6Network("::/96"), 0),  # IPv4-compatible
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
]


def normalise(endpoint: str) -> str:
    """The endpoint as it is stored: no trailing slash, no pasted `/chat/completions`, `/v1` where there is no path.

    Raises InvalidEndpoint with what to write instead.
    """
    parts = _parse(endpoint)
    path = parts.path.rstrip("/")
    while path.endswith(PASTED_SUFFIX):
        path = path.removesuffix(PASTED_SUFFIX).rstrip("/")
    place = parts.netloc.lower().removesuffix(DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{place}{path or '/v1'}"


@dataclass(frozen=True)
class EndpointPolicy:
    """What the gateway may call. `private_networks` allows plain http and private addresses, `loopback` (the local
    system) loopback too; link-local, metadata and multicast addresses are never called."""

    private_networks: bool
    loopback: bool

    def guard_endpoint(self, endpoint: str) -> None:
        """Raises InvalidEndpoint for an endpoint that is out of reach. A host name is not resolved here: what it
        resolves to can change until the request, which asks `guard_address`."""
        parts = urlsplit(endpoint)
        host = (parts.hostname or "").rstrip(".")
        address = _address(host)
        if address is not None:
            self._guard(address)
        elif _is_local_name(host) and not self.loopback:
            raise InvalidEndpoint(LOOPBACK)
        if parts.scheme == "http" and not (self.private_networks or self.loopback):
            raise InvalidEndpoint(
                "endpoint is plain http: the key would travel in clear. Use https, or deploy PrivateNetworks=allow."
            )

    def guard_address(self, address: str) -> None:
        """Raises InvalidEndpoint for an IP address that is out of reach."""
        found = _address(address.partition("%")[0])
        if found is not None:
            self._guard(found)

    def _guard(self, address: Address) -> None:
        if address.is_loopback:
            if not self.loopback:
                raise InvalidEndpoint(LOOPBACK)
        elif address.is_link_local or address.is_multicast or address.is_unspecified or _is_never(address):
            raise InvalidEndpoint("endpoint is a link-local, metadata or multicast address: no provider lives there.")
        elif not address.is_global and not (self.private_networks or self.loopback):
            raise InvalidEndpoint("endpoint is a private address. Deploy with PrivateNetworks=allow to use one.")


def _parse(endpoint: str) -> SplitResult:
    if len(endpoint) > MAX_CHARACTERS or any(c.isspace() or not c.isprintable() for c in endpoint):
        raise InvalidEndpoint(f"endpoint is no URL. {EXAMPLE}")
    try:
        parts = urlsplit(endpoint)
        _ = parts.port  # raises on one that is no number
    except ValueError:
        raise InvalidEndpoint(f"endpoint is no URL. {EXAMPLE}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidEndpoint(f"endpoint needs a scheme and a host. {EXAMPLE}")
    _check_host(parts.hostname)
    if parts.username is not None or parts.password is not None:
        raise InvalidEndpoint("endpoint holds a user name or password: send the key as api_key")
    if parts.query or parts.fragment or endpoint.endswith(("?", "#")):
        raise InvalidEndpoint("endpoint has a query or a fragment: leave out everything from ? or # on")
    return parts


def _check_host(host: str) -> None:
    """An address in its usual form, or a name that DNS can hold: resolvers read 127.1 and 2130706433 as addresses."""
    if _address(host) is not None:
        return
    if not host.isascii():  # resolvers read look-alikes of digits and dots as an address
        raise InvalidEndpoint("endpoint has a host name that is not ASCII: write it in punycode (xn--…).")
    try:
        host.encode("idna")
        socket.inet_aton(host)
    except UnicodeError:
        raise InvalidEndpoint(f"endpoint has no valid host name. {EXAMPLE}") from None
    except OSError:
        return  # a name
    raise InvalidEndpoint("endpoint holds an IPv4 address in an unusual form: write it as four numbers with dots.")


def is_loopback(host: str) -> bool:
    """Whether a host is the machine itself, by address or by name."""
    address = _address(host)
    return _is_local_name(host.rstrip(".")) if address is None else address.is_loopback


def _address(host: str) -> Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return _inner(address) if isinstance(address, ipaddress.IPv6Address) else address


def _inner(address: ipaddress.IPv6Address) -> Address:
    """The IPv4 address that this one leads to, or itself."""
    if address.ipv4_mapped is not None or int(address) <= 1:  # :: and ::1 are IPv6's own
        return address.ipv4_mapped or address
    for network, bits in EMBEDDING:
        if address in network:
            return ipaddress.IPv4Address(int(address) >> bits & 0xFFFFFFFF)
    return address


def _is_never(address: Address) -> bool:
    return any(address in network for network in NEVER)


def _is_local_name(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")
