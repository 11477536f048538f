import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import AnswerTruncated, DeadlineExceeded, ForwardingError
from gateway.proxy.upstream_errors import (
    MAX_ERROR_BODY_BYTES,
    MAX_MESSAGE_CHARACTERS,
    read_error_body,
    upstream_error,
)
from tests.unit.gateway.builders import BRIEFLY, KEY


def error(message: str, status_type: str = "server_error") -> str:
    return json.dumps({"error": {"message": message, "type": status_type, "code": None}})


BUDGET = json.dumps({"error": "monthly budget exceeded", "budget_usd": 1, "spent_usd": 2})
TOKENHUBS = [
    (401, "authorization required\n", "provider_key_refused", False, "none is registered"),
    (401, "invalid api key format\n", "provider_key_invalid", False, "tokenhub_"),
    (401, "invalid api key\n", "provider_key_refused", False, "api_key"),
    (401, error("Incorrect API key provided"), "provider_key_refused", False, "a server in front of it"),
    (403, "insufficient scope\n", "provider_scope_missing", False, "scope"),
    (429, BUDGET, "provider_budget_spent", False, "budget"),
    (429, "rate limit exceeded\n", "provider_rate_limited", True, "again"),
    (429, "api key rate limit exceeded\n", "provider_rate_limited", True, "again"),
    (400, error("messages is required", "invalid_request_error"), "provider_bad_request", False, "TokenHub"),
    (404, "404 page not found\n", "provider_path_unknown", False, "/v1"),
    (404, '{"error":"model not found: X"}', "provider_model_unknown", False, "/v1/models"),
    (405, "", "provider_path_unknown", False, "/v1"),
    (502, error("no eligible models registered"), "provider_no_models", True, "cooldown"),
    (502, error("all providers failed"), "provider_all_failed", True, "tokenhubctl health"),
    (
        502,
        error("all providers failed for streaming: API error (status 401): no"),
        "provider_all_failed",
        True,
        "the last one's error",
    ),
    (
        502,
        error("all providers failed for streaming: API error (status 401): no"),
        "provider_all_failed",
        True,
        "tokenhubctl vault unlock",
    ),
    (502, '{"error":"provider error: x"}', "provider_error", True, "tokenhubctl health"),
    (503, '{"error":"provider does not support embeddings"}', "provider_error", True, "tokenhubctl health"),
    (500, "", "provider_error", True, "tokenhubctl health"),
    (418, "teapot", "provider_bad_request", False, "TokenHub"),
]


@pytest.mark.parametrize(("status", "body", "code", "retryable", "remedy"), TOKENHUBS)
def test_each_known_error_has_its_code_and_remedy(
    status: int, body: str, code: str, retryable: bool, remedy: str
) -> None:
    result = upstream_error(status, body.encode())
    assert (result.status, result.code, result.retryable, result.source) == (status, code, retryable, "tokenhub")
    assert remedy in result.message


@pytest.mark.parametrize(
    ("body", "start"),
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
def test_puts_the_providers_message_before_the_remedy(body: str, start: str) -> None:
    assert upstream_error(500, body.encode()).message.startswith(start)


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
    result = upstream_error(status, body)
    assert json.loads(json.dumps(result.body()))["error"]["code"].startswith(("provider_", "model_"))
    assert result.message


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


RELAYED = {"x-negotiated-model": "claude-sonnet-4-6"}
MODELS = [
    (401, "model_access_refused", False),
    (403, "model_access_refused", False),
    (404, "model_not_found", False),
    (413, "model_request_too_large", False),
    (429, "model_rate_limited", True),
    (400, "model_bad_request", False),
    (408, "model_bad_request", True),
    (422, "model_bad_request", False),
    (529, "model_overloaded", True),
    (500, "model_error", True),
    (503, "model_error", True),
]


@pytest.mark.parametrize(("status", "code", "retryable"), MODELS)
@pytest.mark.parametrize("text", ["invalid api key", "insufficient scope", "404 page not found", "model not found"])
def test_a_relayed_error_is_the_models_providers(status: int, code: str, retryable: bool, text: str) -> None:
    plain = upstream_error(status, text.encode(), headers=RELAYED)
    streamed = upstream_error(502, error(f"upstream {status}: {error(text)}").encode())

    assert (plain.status, plain.code, plain.retryable, plain.source) == (status, code, retryable, "model")
    assert streamed.to_dict() | {"retryable": streamed.retryable} == plain.to_dict() | {"retryable": retryable}
    assert streamed.source == "model"
    for wrong in ("registered key", "scope of", "/v1.", "log"):
        assert wrong not in plain.message.removeprefix(text)


def test_a_529_is_the_models_providers_even_without_the_header() -> None:
    overloaded = upstream_error(529, b"")
    assert (overloaded.code, overloaded.source) == ("model_overloaded", "model")


def test_a_relayed_web_page_is_the_models_providers() -> None:
    page = upstream_error(404, b"<html>", headers=RELAYED)
    assert (page.code, page.source) == ("model_bad_request", "model")
    assert "endpoint" not in page.message


@pytest.mark.parametrize("text", ["upstream 200: x", "upstream 99: x", "upstream: x", "an upstream 401: x"])
def test_only_a_status_of_an_error_at_the_start_marks_a_relayed_error(text: str) -> None:
    received = upstream_error(502, error(text).encode())
    assert (received.status, received.source) == (502, "tokenhub")


def anthropic_error(error_type: object) -> str:
    return json.dumps({"type": "error", "error": {"type": error_type, "message": "m"}})


@pytest.mark.parametrize("error_type", ["overloaded_error", "not_found_error", "rate_limit_error"])
def test_keeps_the_type_of_an_anthropic_error(error_type: str) -> None:
    assert upstream_error(529, anthropic_error(error_type).encode(), headers=RELAYED).type == error_type
    streamed = f"upstream 529: {anthropic_error(error_type)}"
    assert upstream_error(502, anthropic_error("server_error").replace('"m"', json.dumps(streamed)).encode()).type == (
        error_type
    )


@pytest.mark.parametrize("error_type", ["server_error", "tokenhub_0123456789abcdef", 7, None, {}])
def test_replaces_an_unknown_error_type(error_type: object) -> None:
    assert upstream_error(429, anthropic_error(error_type).encode()).type == "rate_limit_error"


@pytest.mark.parametrize(
    ("status", "retryable"), [(408, True), (409, True), (425, True), (413, False), (422, False), (431, False)]
)
@pytest.mark.parametrize("headers", [{}, RELAYED], ids=["tokenhub", "model"])
def test_a_timeout_a_conflict_and_too_early_are_retryable(
    status: int, retryable: bool, headers: dict[str, str]
) -> None:
    assert upstream_error(status, b"no", headers=headers).retryable is retryable
    assert ("Try again." in upstream_error(status, b"no", headers=headers).message) is retryable


@pytest.mark.parametrize(("status", "sent"), [(400, "true"), (429, "false"), (500, "false"), (401, "true")])
def test_the_providers_x_should_retry_decides(status: int, sent: str) -> None:
    assert upstream_error(status, b"no", headers={"x-should-retry": sent}).retryable is (sent == "true")


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/embeddings", "embeddings"), ("/plan", "plan"), ("/chat/completions", "chat"), ("/chat", "chat")],
)
def test_names_the_missing_scope(path: str, scope: str) -> None:
    message = upstream_error(403, b"insufficient scope\n", path=path).message
    assert f"lacks the scope {scope}." in message
    assert "5 minutes" in message
    assert "Rotating" in message


def test_keeps_the_amounts_of_a_spent_budget() -> None:
    message = upstream_error(429, b'{"error": "monthly budget exceeded", "budget_usd": 10, "spent_usd": 10.42}').message
    assert message.startswith("monthly budget exceeded (budget_usd 10, spent_usd 10.42). ")
    assert "5 minutes" in message
    assert "Rotating" in message


def test_ignores_amounts_that_are_not_numbers() -> None:
    body = b'{"error": "monthly budget exceeded", "budget_usd": "10", "spent_usd": true}'
    assert upstream_error(429, body).message.startswith("monthly budget exceeded. ")


@pytest.mark.parametrize("failure", [AnswerTruncated(), DeadlineExceeded("late")])
def test_keeps_the_beginning_of_an_error_body_that_breaks_off(failure: ForwardingError) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"the model is "
        yield f"busy: {KEY[:-3]}".encode()
        raise failure

    assert read_error_body(chunks(), [KEY]) == b"the model is busy: [redacted]"


def test_reads_at_most_64_kb_of_an_error_body() -> None:
    assert len(read_error_body(b"x" * 1024 for _ in range(10_000))) <= MAX_ERROR_BODY_BYTES + 1024
