"""Normalises a provider's endpoint at registration, and rejects addresses to which a key must never be sent."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from gateway.core.errors import InvalidEndpoint

MAX_ENDPOINT_CHARACTERS = 2048
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
CHAT_COMPLETIONS = "/chat/completions"
EXAMPLE = "Register one like https://tokenhub.example.com/v1."
NOT_A_URL = f"The endpoint is not a valid URL. {EXAMPLE}"
INVALID_HOST = f"The endpoint's host name is not valid. {EXAMPLE}"

# The host and the port of an authority in lower case.
AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\[\]:]+)(?P<port>:.*)?")
PORT = re.compile(r":[1-9][0-9]*")
# A label of a host name (RFC 1123). Docker's service names also contain underscores.
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
MAX_HOST_CHARACTERS = 253
# Resolvers read a name whose last label is a number as an IPv4 address: 127.1, 2130706433, 0x7f.1.
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# The characters of RFC 3986. Placeholders such as ${TENANT} and <tenant> contain others.
PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")

LOOPBACK = "The endpoint is a loopback address, which on AWS is the gateway itself. Register TokenHub's own address."

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
BLOCKED_NETWORKS = [
    # EC2 instance metadata
    ipaddress.ip_network("169.254.169.254"),
    # EC2 instance metadata, DNS and time over IPv6
    ipaddress.ip_network("fd00:ec2::/32"),
    # Site-local (RFC 3879): Python reports it as global.
    ipaddress.ip_network("fec0::/10"),
    # Local-use NAT64 (RFC 8215): the position of the embedded IPv4 address is not standardised.
    ipaddress.ip_network("64:ff9b:1::/48"),
]
# IPv6 networks whose addresses route to an embedded IPv4 address, with that address's distance from the end in bits:
# NAT64 (RFC 6052), SIIT (RFC 7915), IPv4-compatible (RFC 4291) and 6to4 (RFC 3056).
IPV4_EMBEDDING_NETWORKS = [
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
]


def normalise(endpoint: str) -> str:
    """Returns the endpoint as stored: lower-case host, no default port, no trailing slash or `/chat/completions`.

    The dot at the end of a host name is dropped, because no certificate matches such a name. An endpoint without a path
    gets `/v1`. Raises InvalidEndpoint.
    """
    parts = _parse(endpoint)
    path = parts.path.rstrip("/")
    while path.endswith(CHAT_COMPLETIONS):
        path = path.removesuffix(CHAT_COMPLETIONS).rstrip("/")
    host, port = _host_and_port(parts.netloc.lower())
    return f"{parts.scheme}://{host}{port.removesuffix(DEFAULT_PORTS[parts.scheme])}{path or '/v1'}"


@dataclass(frozen=True)
class EndpointPolicy:
    """The addresses that the gateway may call.

    `private_networks` allows plain http and private addresses. `loopback`, for the local system, allows these and
    loopback addresses. Link-local, metadata and multicast addresses are never allowed.
    """

    private_networks: bool
    loopback: bool

    def guard_endpoint(self, endpoint: str) -> None:
        """Raises InvalidEndpoint for an endpoint that the policy forbids.

        Host names are not resolved here, because DNS can change before the request. Each request passes the resolved
        address to `guard_address`.
        """
        parts = urlsplit(endpoint)
        host = (parts.hostname or "").rstrip(".")
        address = _address(host)
        if address is not None:
            self._guard(address)
        elif _is_local_name(host) and not self.loopback:
            raise InvalidEndpoint(LOOPBACK)
        if parts.scheme == "http" and not (self.private_networks or self.loopback):
            raise InvalidEndpoint(
                "The endpoint uses plain http, which sends the key unencrypted. "
                "Use https, or deploy with PrivateNetworks=allow."
            )

    def guard_address(self, address: str) -> None:
        """Raises InvalidEndpoint for an IP address that the policy forbids. Ignores an IPv6 zone such as `%eth0`."""
        parsed = _address(address.partition("%")[0])
        if parsed is not None:
            self._guard(parsed)

    def _guard(self, address: Address) -> None:
        if address.is_loopback:
            if not self.loopback:
                raise InvalidEndpoint(LOOPBACK)
        elif address.is_link_local or address.is_multicast or address.is_unspecified or _is_blocked(address):
            raise InvalidEndpoint("The endpoint is a link-local, metadata or multicast address. Use a public address.")
        elif not address.is_global and not (self.private_networks or self.loopback):
            raise InvalidEndpoint("The endpoint is a private address. Deploy with PrivateNetworks=allow to use it.")


def _parse(endpoint: str) -> SplitResult:
    if len(endpoint) > MAX_ENDPOINT_CHARACTERS or any(c.isspace() or not c.isprintable() for c in endpoint):
        raise InvalidEndpoint(NOT_A_URL)
    try:
        parts = urlsplit(endpoint)
        # `port` raises ValueError for an invalid port.
        _ = parts.port
    except ValueError:
        raise InvalidEndpoint(NOT_A_URL) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidEndpoint(f"The endpoint needs a scheme and a host. {EXAMPLE}")
    if parts.username is not None or parts.password is not None:
        raise InvalidEndpoint("The endpoint contains a user name or password. Send the key as api_key.")
    if parts.query or parts.fragment or endpoint.endswith(("?", "#")):
        raise InvalidEndpoint("The endpoint has a query or fragment. Remove everything from the first ? or #.")
    if PATH.fullmatch(parts.path) is None:
        raise InvalidEndpoint(f"The endpoint's path has a character that URLs must percent-encode. {EXAMPLE}")
    return parts


def _host_and_port(authority: str) -> tuple[str, str]:
    """Returns the host, without the dot at the end of a name, and the port with its colon, or an empty port.

    Raises InvalidEndpoint for an invalid host or port.
    """
    match = AUTHORITY.fullmatch(authority)
    if match is None:
        raise InvalidEndpoint(INVALID_HOST)
    host, port = match["host"].removesuffix("."), match["port"] or ""
    if port and PORT.fullmatch(port) is None:
        raise InvalidEndpoint("The endpoint's port is not a number from 1 to 65535 without leading zeros. Correct it.")
    if host.startswith("["):
        _check_ipv6(host[1:-1])
    elif not _is_ipv4(host):
        _check_name(host)
    return host, port


def _check_ipv6(address: str) -> None:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise InvalidEndpoint(INVALID_HOST) from None


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _check_name(host: str) -> None:
    """Raises InvalidEndpoint unless the host is a valid ASCII host name."""
    # Resolvers map Unicode look-alikes of digits and dots to ASCII, which can make the name an address.
    if not host.isascii():
        raise InvalidEndpoint("The endpoint's host name is not ASCII. Write it in punycode (xn--…).")
    labels = host.split(".")
    if len(host) > MAX_HOST_CHARACTERS or not all(map(LABEL.fullmatch, labels)):
        raise InvalidEndpoint(INVALID_HOST)
    # The address checks here would miss such an address.
    if NUMBER.fullmatch(labels[-1]):
        raise InvalidEndpoint(
            "The endpoint's host ends in a number but is not an IPv4 address in its usual form. "
            "Write it as four numbers with dots, without leading zeros."
        )


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address or a localhost name."""
    address = _address(host)
    return _is_local_name(host.rstrip(".")) if address is None else address.is_loopback


def _address(host: str) -> Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return _embedded_ipv4(address) if isinstance(address, ipaddress.IPv6Address) else address


def _embedded_ipv4(address: ipaddress.IPv6Address) -> Address:
    """Returns the IPv4 address that an IPv6 address routes to, or the IPv6 address itself."""
    # :: and ::1 lie in the IPv4-compatible network, but are the unspecified and the loopback address.
    if address.ipv4_mapped is not None or int(address) <= 1:
        return address.ipv4_mapped or address
    for network, bits in IPV4_EMBEDDING_NETWORKS:
        if address in network:
            return ipaddress.IPv4Address(int(address) >> bits & 0xFFFFFFFF)
    return address


def _is_blocked(address: Address) -> bool:
    return any(address in network for network in BLOCKED_NETWORKS)


def _is_local_name(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")
