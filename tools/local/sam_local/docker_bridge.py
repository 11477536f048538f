"""The Docker bridge: the address of this machine through which containers reach it.

Linux accepts packets for any of its addresses on every interface, so a neighbour in the LAN can reach this address too.
A server on it must therefore accept only peers of the bridge's own network (`is_in_network`).
"""

import asyncio
import fcntl
import socket
import struct
import sys
from ipaddress import IPv4Interface, ip_address

INTERFACE = "docker0"
POLL_INTERVAL_S = 2.0

# linux/sockios.h
_SIOCGIFADDR = 0x8915
_SIOCGIFNETMASK = 0x891B
# struct ifreq: the interface's name and space for the result, a sockaddr_in with the address.
_IFREQ = "16s24x"
_ADDRESS = slice(20, 24)


def is_supported() -> bool:
    """Returns whether Docker creates a bridge on this machine. Docker Desktop has it in a virtual machine instead."""
    return sys.platform == "linux"


def address(interface: str = INTERFACE) -> IPv4Interface | None:
    """Returns the bridge's IPv4 address and network, or None if there is no bridge."""
    if not is_supported():
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack(_IFREQ, interface.encode()[:15])
        try:
            results = [fcntl.ioctl(any_socket, number, request) for number in (_SIOCGIFADDR, _SIOCGIFNETMASK)]
        except OSError:
            return None
    return IPv4Interface("/".join(socket.inet_ntoa(result[_ADDRESS]) for result in results))


def is_in_network(interface: IPv4Interface, peer: str | None) -> bool:
    """Returns whether a peer's address belongs to the network of `interface`. None, an unknown peer, does not."""
    return peer is not None and ip_address(peer) in interface.network


async def wait_for_address() -> IPv4Interface:
    """Returns the bridge's address as soon as Docker is running."""
    while True:
        if bridge := address():
            return bridge
        await asyncio.sleep(POLL_INTERVAL_S)
