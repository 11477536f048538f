"""The Docker bridge: the one address of this machine that is there for containers.

Linux takes packets for any of its addresses on every interface: a neighbour in the LAN that sends them here reaches
this address, too. So whoever listens on it answers to the bridge's own network only (`knows`).
"""

import asyncio
import fcntl
import socket
import struct
import sys
from ipaddress import IPv4Interface, ip_address

INTERFACE = "docker0"
LOOK_EVERY_S = 2.0

_SIOCGIFADDR = 0x8915  # linux/sockios.h
_SIOCGIFNETMASK = 0x891B
_REQUEST = "16s24x"  # struct ifreq: a name, and room for the answer
_ADDRESS = slice(20, 24)  # of the sockaddr_in in that room


def expected() -> bool:
    """Whether Docker on this system has its bridge on this machine. Docker Desktop has it in a machine of its own."""
    return sys.platform == "linux"


def address(interface: str = INTERFACE) -> IPv4Interface | None:
    """The IPv4 address of the bridge and its network, or None without one."""
    if not expected():
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack(_REQUEST, interface.encode()[:15])
        try:
            found = [fcntl.ioctl(asking, number, request)[_ADDRESS] for number in (_SIOCGIFADDR, _SIOCGIFNETMASK)]
        except OSError:
            return None
    return IPv4Interface("/".join(socket.inet_ntoa(part) for part in found))


def knows(door: IPv4Interface, peer: str | None) -> bool:
    """Whether a peer is in the network of the address that it came to."""
    return peer is not None and ip_address(peer) in door.network


async def appears() -> IPv4Interface:
    """The bridge, as soon as there is one: Docker may be started after us."""
    while True:
        if found := address():
            return found
        await asyncio.sleep(LOOK_EVERY_S)
