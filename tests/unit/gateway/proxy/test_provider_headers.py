import pytest

from gateway.proxy.provider_headers import (
    MAX_RATE_LIMIT_HEADERS,
    MAX_VALUE_CHARACTERS,
    PARSERS,
    forwarded_headers,
)

KEY = "0123456789abcdef" * 2


def parsed(name: str, *values: str, key: str = KEY) -> str | None:
    return forwarded_headers([(name, value) for value in values], [key]).get(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", "text/event-stream"),
        ("content-type", "Text/Event-Stream; charset=UTF-8"),
        ("content-type", 'application/json;charset="utf-8"'),
        ("content-type", "application/vnd.api+json; profile=x"),
        ("content-type", "audio/mpeg"),
        ("cache-control", "no-cache"),
        ("cache-control", "private, max-age=60,must-revalidate"),
        ("retry-after", "0"),
        ("retry-after", "1.5"),
        ("retry-after", "Sat, 28 Nov 2026 15:56:15 GMT"),
        ("retry-after-ms", "1500"),
        ("retry-after-ms", "12.5"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("x-ratelimit-limit-tokens_usage_based", "1000"),
        ("anthropic-ratelimit-requests-reset", "2026-11-28T15:56:15Z"),
        ("anthropic-ratelimit-unified-5h-status", "allowed"),
        ("x-negotiated-model", "tokenhub_auto"),
        ("x-alias-from", "*"),
        ("idempotency-replay", "true"),
        ("x-should-retry", "false"),
    ],
)
def test_returns_a_valid_value_unchanged(name: str, value: str) -> None:
    assert parsed(name, value) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", "json"),
        ("content-type", "text/event stream"),
        ("content-type", f"text/{KEY}"),
        ("content-type", "text/tokenhub_0123456789abcdef"),
        ("cache-control", "private, key=tokenhub_0123456789abcdef"),
        ("cache-control", "max-age=12345678"),
        ("cache-control", ""),
        ("retry-after", "soon"),
        ("retry-after", "-1"),
        ("retry-after", "12345678"),
        ("retry-after", "\N{ARABIC-INDIC DIGIT ONE}"),
        ("retry-after-ms", "1s"),
        ("retry-after-ms", "12345678901"),
        ("x-ratelimit-limit-requests", "a/b"),
        ("x-ratelimit-limit-requests", ""),
        ("x-ratelimit-limit-requests", "1" * 129),
        ("x-ratelimit-limit-requests", KEY),
        ("x-ratelimit-limit-requests", "tokenhub_0123456789abcdef"),
        ("x-ratelimit-" + "a" * 49, "1"),
        (f"x-ratelimit-{KEY}", "1"),
        ("x-ratelimited", "1"),
        ("idempotency-replay", "yes"),
        ("x-should-retry", "True"),
    ],
)
def test_drops_an_invalid_value(name: str, value: str) -> None:
    assert parsed(name, value) is None


@pytest.mark.parametrize("parameters", ["; x", "; a=b c", f"; said={KEY}", "; key=tokenhub_0123456789abcdef"])
def test_drops_invalid_and_secret_parameters_of_a_media_type(parameters: str) -> None:
    assert parsed("content-type", f"text/event-stream{parameters}") == "text/event-stream"


@pytest.mark.parametrize("key", ["event-stream", "text/event", "utf-8; ch", "charset=utf-8"])
def test_a_key_that_is_part_of_a_known_media_type_changes_nothing(key: str) -> None:
    value = "text/event-stream; charset=utf-8"
    assert parsed("content-type", value, key=key) == value


def test_a_key_that_is_a_cache_directive_changes_nothing() -> None:
    assert parsed("cache-control", "no-cache", key="no-cache") == "no-cache"


def test_redacts_the_key_in_a_model_name() -> None:
    assert parsed("x-negotiated-model", f"a {KEY}") == "a [redacted]"


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("content-type", "text/event-stream", "application/json"),
        ("retry-after", "1", "2"),
        ("x-negotiated-model", "a", "b"),
        ("x-should-retry", "false", "true"),
    ],
)
def test_the_first_of_two_values_counts(name: str, first: str, second: str) -> None:
    assert parsed(name, first, second) == first


@pytest.mark.parametrize("name", PARSERS)
def test_drops_an_overlong_value(name: str) -> None:
    start = "text/" if name == "content-type" else ""
    assert parsed(name, start + "1" * (MAX_VALUE_CHARACTERS + 1)) is None


def test_accepts_the_longest_value() -> None:
    assert parsed("x-negotiated-model", "m" * MAX_VALUE_CHARACTERS) == "m" * MAX_VALUE_CHARACTERS


@pytest.mark.parametrize("control", ["\x01", "\x1b", "\x7f", "\x85", "\u2028"])
def test_removes_control_characters(control: str) -> None:
    assert parsed("x-negotiated-model", f"a{control}b") == "ab"
    assert parsed("content-type", f"text/event-stream{control}") == "text/event-stream"


def test_drops_every_other_header() -> None:
    others = {"set-cookie": "a=b", "location": "/", "server": "x", "x-provider-authorization": KEY}
    assert forwarded_headers(others.items(), []) == {}


def test_forwards_at_most_32_rate_limit_headers() -> None:
    sent = [(f"X-RateLimit-Limit-{number}", "1") for number in range(100)]
    assert len(forwarded_headers(sent, [])) == MAX_RATE_LIMIT_HEADERS


def test_the_largest_forwarded_head_fits_into_lambdas_16_kb() -> None:
    sent = [(name, "text/" + "1" * MAX_VALUE_CHARACTERS) for name in PARSERS]
    sent = [(name, value[:MAX_VALUE_CHARACTERS]) for name, value in sent]
    sent += [(f"x-ratelimit-{number:048}", "1" * 128) for number in range(100)]
    head = forwarded_headers(sent, [])
    assert sum(len(name) + len(value) + 8 for name, value in head.items()) < 12 * 1024
