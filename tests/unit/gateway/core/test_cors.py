import pytest

from gateway.core.cors import Cors
from gateway.core.errors import OriginNotAllowed

PAGE = "https://chat.example.com"
OTHER_ORIGINS = [
    "https://evil.example.com",
    "null",
    "",
    "*",
    PAGE + ".evil.example",
    PAGE.upper(),
    "http://chat.example.com",
]
ALLOW = "access-control-allow-origin"
cors = Cors(frozenset({PAGE, "http://localhost:3000"}))


def test_lets_allowed_origins_read_answers_and_headers() -> None:
    headers = cors.headers({"Origin": PAGE})

    assert headers[ALLOW] == PAGE
    assert headers["vary"] == "Origin"
    assert {"X-Request-Id", "Request-Id", "X-Error-Source", "Retry-After-Ms", "X-RateLimit-Reset-Tokens"} <= set(
        headers["access-control-expose-headers"].split(", ")
    )


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_refuses_pages_of_other_origins(origin: str) -> None:
    assert cors.headers({"origin": origin}) == {"vary": "Origin"}
    with pytest.raises(OriginNotAllowed):
        cors.preflight({"origin": origin})


def test_preflight_allows_the_authorization_header() -> None:
    headers = cors.preflight({"origin": PAGE, "Access-Control-Request-Headers": "authorization"})

    assert headers[ALLOW] == PAGE
    assert headers["access-control-allow-headers"].startswith("Authorization")
    # The list includes all other headers, such as X-Provider-Id and X-Gateway-Metadata.
    assert "*" in headers["access-control-allow-headers"].split(", ")
    assert headers["access-control-allow-methods"] == "GET, POST, PUT, PATCH, DELETE"


def test_never_allows_credentials_or_every_origin() -> None:
    headers = cors.preflight({"origin": PAGE})

    assert "access-control-allow-credentials" not in headers
    assert headers[ALLOW] != "*"


@pytest.mark.parametrize("origin", [PAGE, *OTHER_ORIGINS])
def test_sends_no_headers_without_allowed_origins(origin: str) -> None:
    closed = Cors(frozenset())

    assert closed.headers({"origin": origin}) == {}
    with pytest.raises(OriginNotAllowed):
        closed.preflight({"origin": origin})
