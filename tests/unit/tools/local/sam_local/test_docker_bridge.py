import sys
from ipaddress import IPv4Interface

import pytest

from tools.local.sam_local import docker_bridge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Docker creates a bridge on Linux only")


def test_reads_an_interfaces_address_and_network() -> None:
    assert docker_bridge.address("lo") == IPv4Interface("127.0.0.1/8")


@pytest.mark.parametrize(
    ("peer", "expected"), [("172.17.0.2", True), ("172.17.0.1", True), ("192.168.1.7", False), (None, False)]
)
def test_neighbour_in_the_lan_is_not_in_the_bridges_network(peer: str | None, expected: bool) -> None:
    assert docker_bridge.is_in_network(IPv4Interface("172.17.0.1/16"), peer) is expected


@pytest.mark.parametrize("name", ["docker-nowhere", "longer-than-an-interface-name-may-be", ""])
def test_returns_none_without_a_bridge(name: str) -> None:
    assert docker_bridge.address(name) is None


def test_bridge_is_supported_on_linux() -> None:
    assert docker_bridge.is_supported()
