import pytest

from gateway.core.cors import Cors
from gateway.core.errors import OriginNotAllowed

PAGE = "https://chat.example.com"
FALLBACK_ERRORS = [
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


def test_a_page_of_an_allowed_origin_may_read_the_answer_and_its_headers() -> None:
    headers = cors.headers({"Origin": PAGE})

    assert headers[ALLOW] == PAGE
    assert headers["vary"] == "Origin"
    assert {"X-Request-Id", "X-Error-Source"} <= set(headers["access-control-expose-headers"].split(", "))


@pytest.mark.parametrize("origin", FALLBACK_ERRORS)
def test_a_page_of_another_origin_may_read_nothing(origin: str) -> None:
    assert cors.headers({"origin": origin}) == {"vary": "Origin"}
    with pytest.raises(OriginNotAllowed):
        cors.preflight({"origin": origin})


def test_a_preflight_of_an_allowed_page_lets_it_bring_its_token() -> None:
    headers = cors.preflight({"origin": PAGE, "Access-Control-Request-Headers": "authorization"})

    assert headers[ALLOW] == PAGE
    assert headers["access-control-allow-headers"].startswith("Authorization")
    assert headers["access-control-allow-methods"] == "GET, POST, PUT, PATCH, DELETE"


def test_no_page_is_ever_given_credentials_and_no_answer_is_for_every_origin() -> None:
    headers = cors.preflight({"origin": PAGE})

    assert "access-control-allow-credentials" not in headers
    assert headers[ALLOW] != "*"


@pytest.mark.parametrize("origin", [PAGE, *FALLBACK_ERRORS])
def test_without_allowed_origins_there_is_no_such_header(origin: str) -> None:
    closed = Cors(frozenset())

    assert closed.headers({"origin": origin}) == {}
    with pytest.raises(OriginNotAllowed):
        closed.preflight({"origin": origin})
