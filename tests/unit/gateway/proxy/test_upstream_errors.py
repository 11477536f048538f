import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.upstream_errors import MAX_MESSAGE_CHARACTERS, upstream_error
from tests.unit.gateway.builders import BRIEFLY, KEY


def error(message: str, status_type: str = "server_error") -> str:
    return json.dumps({"error": {"message": message, "type": status_type, "code": None}})


BUDGET = json.dumps({"error": "monthly budget exceeded", "budget_usd": 1, "spent_usd": 2})
TOKENHUBS = [
    (401, "authorization required\n", "provider_key_refused", False, "none is registered"),
    (401, "invalid api key format\n", "provider_key_invalid", False, "tokenhub_"),
    (401, "invalid api key\n", "provider_key_refused", False, "api_key"),
    (401, error("Incorrect API key provided"), "provider_key_refused", False, "a model provider refuses"),
    (403, "insufficient scope\n", "provider_scope_missing", False, "scope"),
    (429, BUDGET, "provider_budget_spent", False, "budget"),
    (429, "rate limit exceeded\n", "provider_rate_limited", True, "again"),
    (429, "api key rate limit exceeded\n", "provider_rate_limited", True, "again"),
    (400, error("messages is required", "invalid_request_error"), "provider_bad_request", False, "TokenHub"),
    (404, "404 page not found\n", "provider_path_unknown", False, "/v1"),
    (404, '{"error":"model not found: X"}', "provider_model_unknown", False, "/v1/models"),
    (405, "", "provider_path_unknown", False, "/v1"),
    (502, error("no eligible models registered"), "provider_no_models", True, "cooldown"),
    (502, error("all providers failed"), "provider_all_failed", True, "log"),
    (
        502,
        error("all providers failed for streaming: API error (status 401): no"),
        "provider_all_failed",
        True,
        "the last one's error",
    ),
    (502, '{"error":"provider error: x"}', "provider_error", True, "log"),
    (503, '{"error":"provider does not support embeddings"}', "provider_error", True, "log"),
    (500, "", "provider_error", True, "log"),
    (418, "teapot", "provider_bad_request", False, "TokenHub"),
]


@pytest.mark.parametrize(("status", "body", "code", "retryable", "remedy"), TOKENHUBS)
def test_each_known_error_has_its_code_and_remedy(
    status: int, body: str, code: str, retryable: bool, remedy: str
) -> None:
    found = upstream_error(status, body.encode())
    assert (found.status, found.code, found.retryable, found.source) == (status, code, retryable, "provider")
    assert remedy in found.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("invalid api key\n", "invalid api key. "),
        ('{"error": {"message": "it broke."}}', "it broke. "),
        ('{"error": "it broke"}', "it broke. "),
        ('{"type": "error", "error": {"type": "x", "message": "it broke"}}', "it broke. "),
        ('{"detail": "it broke"}', '{"detail": "it broke"}. '),
        ('{"error": {"message": 7}}', '{"error": {"message": 7}}. '),
        ("[1]", "[1]. "),
        ("<html><body>it broke</body></html>", "a web page. "),
        ("", "HTTP 500. "),
        (" \n", "HTTP 500. "),
    ],
)
def test_puts_the_providers_message_before_the_remedy(body: str, words: str) -> None:
    assert upstream_error(500, body.encode()).message.startswith(words)


def test_keeps_at_most_500_characters_of_the_message() -> None:
    message = upstream_error(500, b"x" * 10_000).message
    assert message.count("x") == MAX_MESSAGE_CHARACTERS == 500


@pytest.mark.parametrize("body", [f"no key {KEY}", error(f"API error (status 401): {KEY}"), f'{{"detail": "{KEY}"}}'])
def test_redacts_a_key_in_the_message(body: str) -> None:
    assert KEY not in upstream_error(502, body.encode(), [KEY]).message
    assert KEY not in upstream_error(502, body.encode()).message


@BRIEFLY
@given(st.text("abcdef0123456789-", min_size=12, max_size=40), st.integers(440, 520))
def test_redacts_a_key_before_shortening_the_message(key: str, before: int) -> None:
    message = upstream_error(502, b"." * before + key.encode(), [key]).message
    assert key[:6] not in message


@BRIEFLY
@given(st.integers(400, 599), st.binary(max_size=200))
def test_turns_any_bytes_into_the_one_error_shape(status: int, body: bytes) -> None:
    found = upstream_error(status, body)
    assert json.loads(json.dumps(found.body()))["error"]["code"].startswith("provider_")
    assert found.message


def test_treats_deeply_nested_json_as_text() -> None:
    assert upstream_error(500, b"[" * 100_000).code == "provider_error"


@pytest.mark.parametrize(
    ("status", "body", "code", "remedy"),
    [
        (404, b"<html><title>404 Not Found</title></html>", "provider_path_unknown", "a server in front of TokenHub"),
        (403, b"<html>blocked</html>", "provider_bad_request", "a server in front of TokenHub"),
        (401, b"<html>basic</html>", "provider_bad_request", "a server in front of TokenHub"),
        (502, b"<html>Bad Gateway</html>", "provider_error", "a server in front of TokenHub"),
        (404, b'{"detail":"Not Found"}', "provider_path_unknown", "the registered endpoint ends in /v1"),
        (404, b"", "provider_path_unknown", "the registered endpoint ends in /v1"),
        (404, b'{"error":"model not found: x"}', "provider_model_unknown", "GET /v1/models"),
    ],
)
def test_recognizes_web_pages_of_servers_in_front_of_tokenhub(status: int, body: bytes, code: str, remedy: str) -> None:
    error = upstream_error(status, body)

    assert error.code == code
    assert remedy in error.message


@BRIEFLY
@given(st.integers(100, 399) | st.integers(600, 999), st.binary(max_size=20))
def test_turns_statuses_outside_400_to_599_into_502(status: int, body: bytes) -> None:
    error = upstream_error(status, body)

    assert (error.status, error.code, error.retryable) == (502, "provider_error", True)
    assert f"HTTP {status}" in error.message
