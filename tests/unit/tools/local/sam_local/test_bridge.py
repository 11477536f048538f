import sys
from ipaddress import IPv4Interface

import pytest

from tools.local.sam_local import bridge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Docker's bridge is on this machine on Linux only")


def test_the_address_of_an_interface_and_its_network_are_asked_of_the_system() -> None:
    assert bridge.address("lo") == IPv4Interface("127.0.0.1/8")


@pytest.mark.parametrize(
    ("peer", "known"), [("172.17.0.2", True), ("172.17.0.1", True), ("192.168.1.7", False), (None, False)]
)
def test_a_neighbour_in_the_lan_is_not_in_the_bridges_network(peer: str | None, known: bool) -> None:
    assert bridge.knows(IPv4Interface("172.17.0.1/16"), peer) is known


@pytest.mark.parametrize("name", ["docker-nowhere", "a-name-that-is-longer-than-an-interfaces", ""])
def test_without_a_bridge_there_is_no_address(name: str) -> None:
    assert bridge.address(name) is None


def test_a_bridge_is_expected_here() -> None:
    assert bridge.expected()
