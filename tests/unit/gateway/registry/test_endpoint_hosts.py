"""The hosts, ports and paths that an endpoint may have."""

import ipaddress
import re
import socket
import string
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidEndpoint
from gateway.registry.endpoint import normalise


@pytest.mark.parametrize(
    "host",
    [
        *("^", "*", "*.example.com", "${HOST}", "<host>", "{host}", "$HOST", "a,b", "a%2eb", "%31%32%37.0.0.1", "a!b"),
        *(
            "good.example\\.evil.example",
            "evil.example\\",
            "-a.example",
            "a-.example",
            ".",
            "a..",
            ".a",
            "a." + "b" * 64,
        ),
        *("[v1.a]", "[fe80::1%eth0]", "[::1]x", "x[::1]", "[1.2.3.4]", "[", "a]", ".".join(["a" * 63] * 4)),
    ],
)
def test_rejects_hosts_that_are_not_valid_dns_names(host: str) -> None:
    with pytest.raises(InvalidEndpoint, match=r"not a valid URL|host name is not valid") as caught:
        normalise(f"https://{host}/v1")
    assert "Register one like https://tokenhub.example.com/v1." in caught.value.message


@pytest.mark.parametrize(
    "host", ["127.1.", "0.", "0", "010.0.0.1", "1.2.3.4.5", "1.2.3.256", "a.1", "0x7f.0.0.0x1.", "0x", "08"]
)
def test_rejects_hosts_that_end_in_a_number(host: str) -> None:
    with pytest.raises(InvalidEndpoint, match="four numbers with dots, without leading zeros"):
        normalise(f"https://{host}/v1")


@pytest.mark.parametrize("port", ["", "0", "0443", "00"])
@pytest.mark.parametrize("host", ["a.example", "[fd00::1]", "10.0.0.1"])
def test_rejects_empty_ports_and_leading_zeros(host: str, port: str) -> None:
    with pytest.raises(InvalidEndpoint, match="from 1 to 65535 without leading zeros"):
        normalise(f"https://{host}:{port}/v1")


@pytest.mark.parametrize("path", ["/${TENANT}/v1", "/<tenant>/v1", "/a\\b", "/ü/v1", '/"v1"', "/[v1]", "/a|b", "/a^b"])
def test_rejects_paths_with_characters_that_urls_must_encode(path: str) -> None:
    with pytest.raises(InvalidEndpoint, match="must percent-encode"):
        normalise(f"https://a.example{path}")


HOST_CHARACTERS = st.text("aZ09.-_:[]%\\^*$<x", max_size=12)
DNS_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


@given(HOST_CHARACTERS, st.sampled_from(["", ":8090", ":", ":00"]))
def test_accepted_host_is_an_address_or_a_dns_name(host: str, port: str) -> None:
    try:
        accepted = urlsplit(normalise(f"https://{host}{port}/v1")).hostname or ""
    except InvalidEndpoint:
        return
    try:
        assert accepted == str(ipaddress.IPv4Address(accepted))
    except ValueError:
        with pytest.raises(OSError, match="illegal IP address"):
            socket.inet_aton(accepted)
        assert DNS_NAME.fullmatch(accepted) or ipaddress.IPv6Address(accepted)


LABELS = st.from_regex(r"[a-z_]([a-z0-9_-]{0,20}[a-z0-9_])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)


@given(NAMES, st.none() | st.integers(1, 65535), st.booleans())
def test_accepts_every_dns_name_and_port(name: str, port: int | None, dot: bool) -> None:
    suffix = "" if port is None else f":{port}"
    stored = f"https://{name}{'' if port == 443 else suffix}/v1"
    assert normalise(f"https://{name}{'.' * dot}{suffix}") == stored


@given(NAMES, st.sampled_from(sorted(set(string.punctuation) - set("-_.:/?#@"))), st.data())
def test_rejects_every_other_character_in_a_host(name: str, character: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name)))
    with pytest.raises(InvalidEndpoint):
        normalise(f"https://{name[:at]}{character}{name[at:]}/v1")
