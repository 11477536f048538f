import pytest
from multidict import CIMultiDict

from tools.local.browser_guard import is_anonymous_same_site, is_local_host, is_loopback_host, rejection_reason


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LocalHost:8080", True),
        ("127.0.0.1", True),
        ("127.0.0.1:1", True),
        ("[::1]", True),
        ("[::1]:8080", True),
        (None, False),
        ("", False),
        ("localhost.", False),
        ("localhost:", False),
        ("localhost:x", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:8080", False),
        ("[::1].evil.example", False),
        ("::1", False),
        ("0.0.0.0", False),
        ("192.168.1.2:8080", False),
        ("evil.example", False),
    ],
)
def test_only_names_of_this_machine_are_loopback(host: str | None, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, True),
        ({"Content-Type": "application/json"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"authorization": "Bearer wrong"}, False),
        ({"Authorization": ""}, False),
        ({"X-Api-Key": "x"}, False),
        ({"Origin": "http://localhost:8080"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, False),
    ],
)
def test_detects_anonymous_same_site_requests(headers: dict[str, str], expected: bool) -> None:
    assert is_anonymous_same_site(CIMultiDict(headers)) is expected


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost:4566", True),
        ("172.17.0.1:4566", True),
        ("[fd00::1]:4566", True),
        ("host.docker.internal:4566", True),
        ("bucket.s3.localhost:4566", True),
        ("evil.example:4566", False),
        ("127.0.0.1.evil.example", False),
        ("notlocalhost", False),
        ("", False),
        (None, False),
    ],
)
def test_local_hosts_are_addresses_and_unregistrable_names(host: str | None, local: bool) -> None:
    assert is_local_host(host) is local


@pytest.mark.parametrize(
    ("headers", "rejected"),
    [
        ([("Host", "localhost")], False),
        ([("Host", "localhost"), ("Sec-Fetch-Site", "none")], False),
        ([("Host", "localhost"), ("Sec-Fetch-Site", "same-origin")], False),
        ([("Host", "localhost"), ("Sec-Fetch-Site", "cross-site")], True),
        ([("Host", "localhost"), ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")], True),
        ([("Host", "localhost"), ("origin", "")], True),
        ([("Host", "localhost"), ("Host", "evil.example")], True),
        ([], True),
    ],
)
def test_rejects_foreign_hosts_and_web_pages(headers: list[tuple[str, str]], rejected: bool) -> None:
    assert (rejection_reason(headers) is not None) is rejected
