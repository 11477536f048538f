import sys
from ipaddress import IPv4Interface

import pytest

from tools.local.sam_local import docker_bridge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Docker's bridge is on this machine on Linux only")


def test_reads_an_interfaces_address_and_network() -> None:
    assert docker_bridge.address("lo") == IPv4Interface("127.0.0.1/8")


@pytest.mark.parametrize(
    ("peer", "known"), [("172.17.0.2", True), ("172.17.0.1", True), ("192.168.1.7", False), (None, False)]
)
def test_neighbour_in_the_lan_is_not_in_the_bridges_network(peer: str | None, known: bool) -> None:
    assert docker_bridge.is_in_network(IPv4Interface("172.17.0.1/16"), peer) is known


@pytest.mark.parametrize("name", ["docker-nowhere", "a-name-that-is-longer-than-an-interfaces", ""])
def test_returns_none_without_a_bridge(name: str) -> None:
    assert docker_bridge.address(name) is None


def test_bridge_is_supported_on_linux() -> None:
    assert docker_bridge.is_supported()
