from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidEndpoint
from gateway.registry.endpoint import EndpointPolicy, normalise
from tests.unit.gateway.builders import BRIEFLY

HOSTS = st.sampled_from(["a.example", "A.Example:8090", "10.0.0.1", "[fd00::1]:443", "tokenhub"])
PATHS = st.lists(st.sampled_from(["", "v1", "chat", "completions", "openai", "V1", "%2F"]), max_size=6)
ENDPOINTS = st.builds(
    lambda scheme, host, path, slash: f"{scheme}://{host}/{'/'.join(path)}{slash}",
    st.sampled_from(["http", "https", "HTTPS"]),
    HOSTS,
    PATHS,
    st.sampled_from(["", "/", "//"]),
)


@BRIEFLY
@given(ENDPOINTS)
def test_normalising_is_idempotent(endpoint: str) -> None:
    once = normalise(endpoint)
    assert normalise(once) == once


@pytest.mark.parametrize(
    ("endpoint", "normalised"),
    [
        ("https://h:443/v1", "https://h/v1"),
        ("http://h:80", "http://h/v1"),
        ("https://h:80/v1", "https://h:80/v1"),
        ("http://h:8080/v1", "http://h:8080/v1"),
    ],
)
def test_removes_only_the_default_port(endpoint: str, normalised: str) -> None:
    """Both spellings are the same origin, to which a stored key may be sent."""
    assert normalise(endpoint) == normalised


@BRIEFLY
@given(ENDPOINTS)
def test_normalised_endpoint_has_a_path_without_trailing_slash(endpoint: str) -> None:
    parts = urlsplit(normalise(endpoint))
    assert parts.path
    assert not parts.path.endswith(("/", "/chat/completions"))


@BRIEFLY
@given(st.text(max_size=60) | st.text("htps:/@?#.[]\\ab1", max_size=30).map(lambda text: "https://" + text))
def test_any_text_is_normalised_or_rejected(text: str) -> None:
    try:
        once = normalise(text)
    except InvalidEndpoint:
        return
    assert normalise(once) == once


@pytest.mark.parametrize(
    ("endpoint", "stored"),
    [
        ("https://tokenhub.example.com", "https://tokenhub.example.com/v1"),
        ("https://tokenhub.example.com/", "https://tokenhub.example.com/v1"),
        ("https://tokenhub.example.com/v1", "https://tokenhub.example.com/v1"),
        ("https://tokenhub.example.com/v1/", "https://tokenhub.example.com/v1"),
        ("https://tokenhub.example.com/v1/chat/completions", "https://tokenhub.example.com/v1"),
        ("https://tokenhub.example.com/v1/chat/completions/", "https://tokenhub.example.com/v1"),
        ("https://tokenhub.example.com/chat/completions", "https://tokenhub.example.com/v1"),
        ("HTTPS://TokenHub.Example.com/Tenant/v1", "https://tokenhub.example.com/Tenant/v1"),
        ("http://10.0.0.1:8090", "http://10.0.0.1:8090/v1"),
        ("https://[FD00::1]:8090/", "https://[fd00::1]:8090/v1"),
        ("https://gateway.example.com/openai", "https://gateway.example.com/openai"),
        ("https://TokenHub.Example.com./v1", "https://tokenhub.example.com/v1"),
        ("https://tokenhub.example.com.:443/v1", "https://tokenhub.example.com/v1"),
        ("http://tokenhub_server-1.:8090/v1", "http://tokenhub_server-1:8090/v1"),
        ("http://10.0.0.1.:8090/v1", "http://10.0.0.1:8090/v1"),
        ("https://gateway.example.com/v1/~a!$&'()*+,;=:@%20", "https://gateway.example.com/v1/~a!$&'()*+,;=:@%20"),
    ],
)
def test_normalises_endpoint_spellings(endpoint: str, stored: str) -> None:
    assert normalise(endpoint) == stored


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("tokenhub.example.com/v1", "scheme"),
        ("localhost:8090", "scheme"),
        ("ftp://tokenhub.example.com", "scheme"),
        ("https://", "host"),
        ("https:///v1", "host"),
        ("", "scheme"),
        ("https://user:secret@tokenhub.example.com", "user name"),
        ("https://@tokenhub.example.com", "user name"),
        ("https://tokenhub.example.com/v1?key=secret", "query"),
        ("https://tokenhub.example.com/v1?", "query"),
        ("https://tokenhub.example.com/v1#top", "fragment"),
        ("https://tokenhub.example.com/v1#", "fragment"),
        ("https://tokenhub.example.com:port/v1", "not a valid URL"),
        ("https://tokenhub.example.com:70000/v1", "not a valid URL"),
        ("https://[fd00::1/v1", "not a valid URL"),
        ("https://tokenhub.example.com/v1\r\nX-Evil: 1", "not a valid URL"),
        ("https://tokenhub.example.com/a b", "not a valid URL"),
        (" https://tokenhub.example.com", "not a valid URL"),
        ("https://tokenhub.example.com/" + "a" * 2048, "not a valid URL"),
        ("https://tokenhub..example.com/v1", "host"),
        ("https://" + "a" * 64 + ".example.com/v1", "host"),
    ],
)
def test_rejects_invalid_endpoints_with_advice(endpoint: str, expected: str) -> None:
    with pytest.raises(InvalidEndpoint) as caught:
        normalise(endpoint)
    assert expected in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.param == "endpoint"


def is_allowed(endpoint: str, *, private_networks: bool = False, loopback: bool = False) -> bool:
    try:
        EndpointPolicy(private_networks=private_networks, loopback=loopback).guard_endpoint(normalise(endpoint))
    except InvalidEndpoint:
        return False
    return True


@pytest.mark.parametrize("endpoint", ["https://tokenhub.example.com", "https://8.8.8.8", "https://[2606:4700::1]:8443"])
def test_allows_public_https_endpoints(endpoint: str) -> None:
    assert is_allowed(endpoint)


PRIVATE = ["https://10.0.0.1", "https://192.168.1.1", "https://172.16.0.1", "https://[fd00::1]", "https://100.64.0.1"]


@pytest.mark.parametrize("endpoint", ["http://tokenhub.example.com", *PRIVATE, "https://[::ffff:10.0.0.1]"])
def test_plain_http_and_private_addresses_require_private_networks(endpoint: str) -> None:
    assert not is_allowed(endpoint)
    assert is_allowed(endpoint, private_networks=True)


LOOPBACKS = [
    "http://127.0.0.1:8090",
    "https://127.9.9.9",
    "http://localhost:8090",
    "https://tokenhub.localhost",
    "https://LOCALHOST",
    "http://[::1]:8090",
    "https://[::ffff:127.0.0.1]",
]


@pytest.mark.parametrize("endpoint", LOOPBACKS)
def test_only_the_local_system_allows_loopback_addresses(endpoint: str) -> None:
    assert not is_allowed(endpoint)
    assert not is_allowed(endpoint, private_networks=True)
    assert is_allowed(endpoint, loopback=True)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "localhost."])
def test_rejects_other_spellings_of_loopback_addresses(host: str) -> None:
    assert not is_allowed(f"https://{host}", private_networks=True)


@pytest.mark.parametrize("host", ["127。0。0。1", "１２７.0.0.1", "ⓛocalhost", "bücher.example"])  # noqa: RUF001
def test_rejects_non_ascii_hosts_with_advice(host: str) -> None:
    with pytest.raises(InvalidEndpoint, match="punycode"):
        normalise(f"https://{host}/v1")


def test_allows_punycode_hosts() -> None:
    assert is_allowed("https://xn--bcher-kva.example")


def address_is_allowed(address: str, policy: EndpointPolicy) -> bool:
    try:
        policy.guard_address(address)
    except InvalidEndpoint:
        return False
    return True


@pytest.mark.parametrize(
    ("address", "public", "private", "local"),
    [
        ("8.8.8.8", True, True, True),
        ("2606:4700::1", True, True, True),
        ("10.0.0.1", False, True, True),
        ("::ffff:10.0.0.1", False, True, True),
        ("fd00::1", False, True, True),
        ("64:ff9b::808:808", True, True, True),
        ("2002:808:808::1", True, True, True),
        ("64:ff9b::a00:1", False, True, True),
        ("2002:a00:1::1", False, True, True),
        ("::a00:1", False, True, True),
        ("::ffff:0:a00:1", False, True, True),
        ("64:ff9b::7f00:1", False, False, True),
        ("2002:7f00:1::", False, False, True),
        ("::127.0.0.1", False, False, True),
        ("::ffff:0:7f00:1", False, False, True),
        ("64:ff9b::a9fe:a9fe", False, False, False),
        ("64:ff9b:1::a00:1", False, False, False),
        ("64:ff9b:1:a00:0:100:808:808", False, False, False),
        ("2002:a9fe:a9fe::1", False, False, False),
        ("::a9fe:a9fe", False, False, False),
        ("::ffff:0:a9fe:a9fe", False, False, False),
        ("fec0::1", False, False, False),
        ("fd00:ec2::23", False, False, False),
        ("127.0.0.1", False, False, True),
        ("::1", False, False, True),
        ("169.254.169.254", False, False, False),
        ("fd00:ec2::254", False, False, False),
        ("fe80::1%eth0", False, False, False),
        ("224.0.0.1", False, False, False),
        ("0.0.0.0", False, False, False),
    ],
)
def test_guards_resolved_addresses(address: str, public: bool, private: bool, local: bool) -> None:
    policies = [EndpointPolicy(False, False), EndpointPolicy(True, False), EndpointPolicy(True, True)]
    assert [address_is_allowed(address, policy) for policy in policies] == [public, private, local]


def test_rejects_endpoints_longer_than_2048_characters() -> None:
    longest = "https://a.example/".ljust(2048, "x")
    assert normalise(longest) == longest
    with pytest.raises(InvalidEndpoint):
        normalise(longest + "x")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://169.254.169.254",
        "https://[fe80::1]",
        "https://[::ffff:169.254.169.254]",
        "https://0.0.0.0",
        "https://[::]",
        "https://224.0.0.1",
        "https://[fd00:ec2::254]",
        "https://[fd00:ec2::23]",
        "https://[fec0::1]",
        "https://[64:ff9b::a9fe:a9fe]",
        "https://[2002:a9fe:a9fe::1]",
        "https://[::169.254.169.254]",
    ],
)
def test_never_allows_link_local_metadata_or_reserved_addresses(endpoint: str) -> None:
    assert not is_allowed(endpoint, private_networks=True)
    assert not is_allowed(endpoint, private_networks=True, loopback=True)
