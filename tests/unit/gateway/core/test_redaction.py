import html
import json
import string
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core.redaction import (
    KEY_SHAPED,
    MIN_CUT_CHARACTERS,
    MIN_KEY_CHARACTERS,
    REDACTED,
    Redactor,
    redact,
    redact_secrets,
)
from tests.unit.gateway.builders import BRIEFLY, KEY
from tests.unit.gateway.encodings import by_go, in_a_url

KEYS = st.text(string.ascii_letters + string.digits + "_-.", min_size=MIN_KEY_CHARACTERS, max_size=40)


@BRIEFLY
@given(KEYS, st.lists(st.text(max_size=20), max_size=6), KEYS)
def test_redacts_any_registered_key(key: str, around: list[str], other: str) -> None:
    assume(key not in REDACTED)
    assert key not in redact(key.join(["", *around, ""]), [other, key])


@BRIEFLY
@given(KEYS, KEYS, st.booleans())
def test_redacts_a_key_that_contains_another(short: str, rest: str, begins: bool) -> None:
    long = f"{short}#{rest}" if begins else f"{rest}#{short}"

    assert {redact(f"<{long}>", secrets) for secrets in ([short, long], [long, short])} == {f"<{REDACTED}>"}


def test_does_not_redact_the_replacement() -> None:
    redactor = Redactor()
    for part in ("[redacte", "redacted", "edacted]"):
        redactor.learn(part)

    assert redactor("edacted]" * 100) == REDACTED * 100


@pytest.mark.parametrize(
    "written",
    [
        str,
        json.dumps,
        lambda key: json.dumps(json.dumps(key)),
        lambda key: json.dumps(key).replace("/", "\\/"),
        lambda key: json.dumps(json.dumps(json.dumps(key))),
        by_go,
        lambda key: json.dumps(by_go(key)),
        in_a_url,
        lambda key: in_a_url(key).lower(),
        lambda key: in_a_url(in_a_url(key)),
        lambda key: quote(key, safe="/+"),
        html.escape,
        lambda key: html.escape(html.escape(key)),
    ],
    ids=[
        *("plain", "JSON", "JSON in JSON", "escaped slashes", "JSON thrice", "Go", "Go in JSON"),
        *("URL", "URL with small digits", "URL twice", "URL with slashes", "page", "page twice"),
    ],
)
def test_redacts_a_key_in_every_encoding(written: Callable[[str], str]) -> None:
    key = 'ab"cd\\ef/é+<&>==9876543210'
    redactor = Redactor()
    redactor.learn(key)

    assert "9876543210" not in redact(f"bad key {written(key)}", [key])
    assert "9876543210" not in redact_secrets(f"bad key {written(key)}", [key])
    assert "9876543210" not in redactor(f"bad key {written(key)}")


@pytest.mark.parametrize("percent", ["&#37;", "&#x25;", "&percnt;", "&amp;#37;"])
def test_redacts_a_url_whose_percent_signs_a_page_escapes(percent: str) -> None:
    key = "++c0=caY"

    assert redact_secrets(f"bad key {quote(key).replace('%', percent)}!", [key]) == f"bad key {REDACTED}!"


ENCODINGS: dict[str, Callable[[str], str]] = {
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "Go": by_go,
    "URL": in_a_url,
    "page": html.escape,
}


@pytest.mark.parametrize("outer", ENCODINGS)
@pytest.mark.parametrize("middle", ENCODINGS)
@pytest.mark.parametrize("inner", ENCODINGS)
@settings(max_examples=10, deadline=None)
@given(key=st.text(string.ascii_letters + "\"'\\/&<>+=%{}é#;", min_size=8, max_size=20))
def test_redacts_a_key_in_nested_encodings(inner: str, middle: str, outer: str, key: str) -> None:
    secret = f"{key}0123456789"
    text = f"bad key {ENCODINGS[outer](ENCODINGS[middle](ENCODINGS[inner](secret)))}!"

    redactor = Redactor()
    redactor.learn(secret)
    assert redact_secrets(text, [secret]) == redactor(text)
    # If a key begins with a backslash, an escaping backslash may remain.
    assert redactor(text).replace("\\", "") == f"bad key {REDACTED}!"


@given(st.text(string.ascii_letters, min_size=10, max_size=40).map("nvapi-{}".format), st.data())
def test_a_complete_error_reveals_nothing_about_the_key(key: str, data: st.DataObject) -> None:
    """TokenHub's "model not found: …" ends with the caller's own words."""
    guess = key[: data.draw(st.integers(MIN_CUT_CHARACTERS, len(key) - 1))]
    assert redact(f"model not found: {guess}", [key]) == f"model not found: {guess}"


# Takes some hundredths of a second. A pattern with backtracking took 25 s for backslashes.
@pytest.mark.timeout(10)
@pytest.mark.parametrize("key", ["+abcdefghij", "-_abcdefghij", "\\\\!keykey", "\\\\\\\\!\\key", "abcd" + "/" * 40])
@pytest.mark.parametrize("unit", ["\\", "%25", "%", "&amp;", "&", "/", "-", "u005c"])
def test_redacts_hostile_text_in_bounded_time(key: str, unit: str) -> None:
    """A regular expression holds the GIL: a second of it would be a second of nothing for every stream and beat."""
    text = unit * (64 * 1024 // len(unit)) + key[-3:]

    for function in (redact, redact_secrets):
        assert key not in function(text, [key])
        assert function(text + key, [key]).endswith(REDACTED)


def test_can_leave_text_with_the_shape_of_a_key() -> None:
    assert redact_secrets("tokenhub_fast of c0ffee99", ["c0ffee99"]) == f"tokenhub_fast of {REDACTED}"


@BRIEFLY
@given(st.text("ab ", max_size=30))
def test_leaves_text_without_a_key_unchanged(text: str) -> None:
    assert redact(text, ["", "other-key"]) == text


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY} is dead",
        "Incorrect API key provided: sk-proj-abc_DEF-123456",
        '{"error": "Authorization: Bearer abc.def.ghi"}',
        "authorization: bearer abc.def.ghi",
        "AUTHORIZATION: BEARER abc.def.ghi",
        "Bearer  abc.def.ghi",
        "bearer\tabc.def.ghi",
        "/?authorization=Bearer%20abc.def.ghi",
        "/?authorization=Bearer+abc.def.ghi",
        "bearer abcdefghijklmnop",
        "Bearer%2520abc.def.ghi",
        "Authorization: Basic YWJjOnNlY3JldA==",
        "basic YWJjOjEyMzQ1Ng",
        "Basic%20YWJjZGVmMTIzNDU2",
        'authorization = "BASIC  YWJjOnM/PT4+fj8="',
        # A name and a password, cut within the password and within a character of UTF-8.
        "Basic YWJjOsO8w7w",
        "Basic YWJjOsO8w",
        "Basic YWJjOsO8ww",
        # A key without a colon, padded or long.
        "Basic YWJjZGVmZw==",
        "Basic YWJjRGVmR2hJSktMbU5v1",
        # A name and a password in Latin-1.
        "Basic YWJj/Ditvb/86bO62bM6Z2VoZWltMQ",
        r"Basic\tYWJjOnNlY3JldA==",
        # Escaped signs, the URL-safe alphabet, a short name and password.
        *("Basic%20YWJjOj4%2BPz8%2F", r"Basic YWJjOj4+Pz8\/YWJj", r"Basic YWJjOj4\u002bPz8"),
        *("Basic YWJjOj4-Pj8_YWJj", "Basic YWJjZGVmZ2hpOj8_Pg", "Basic YTphYg=="),
        "x-ap\u0131-key: abc123456",
        *("api_key=basic+YWJjOnNlY3JldA==.abc", "Bearer:basic+YWJjOnNlY3JldA-YWJj"),
        "/?authorization=Basic+YWJjOnNlY3JldA==",
        r"Bearer\tabc.def.ghi",
        'bearer: "abc.def.ghi"',
        "API key not valid: AIzaSyA-abcdefghij123456789",
        "x-api-key: sk_live_abc123456",
        '{"api_key": "abc123456"}',
        "?apikey=abc123456",
        "tokenhub_abc4",
        "tokenhub_abcdefabcdefabcd",
        r"tokenhub\u005fabc4",
        "tokenhub%5Fabc4",
    ],
)
def test_redacts_unregistered_text_with_the_shape_of_a_key(text: str) -> None:
    clean = redact(text)
    assert REDACTED in clean
    assert not any(secret in clean for secret in (KEY, "abc", "123456", "YWJj"))


@BRIEFLY
@given(st.from_regex(KEY_SHAPED, fullmatch=True))
def test_redacts_everything_that_the_pattern_of_keys_matches(text: str) -> None:
    assert KEY_SHAPED.search(redact(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        *("tokenhub is down", "task-management-system", "a bearer of news", "sk-1", 'Bearer realm="x"'),
        *("Register it again with api_key.", "api_key: required", "x-api-key = your key"),
        *("Missing Bearer token in Authorization header", "bearer authentication required", "No bearer token."),
        *(
            "Basic authentication required",
            "basic subscription",
            'Basic realm="x"',
            "basic gpt-4o plan",
            "Basic access",
            "basic auth/token expired",
            "basic JavaScript needed",
            "basic OpenTelemetry export",
            "Basic OAuth2Token",
            "basic settings= none",
            *("basic gpt-4o-mini plan", "Basic Auth-Token-V2-Config is needed", "basic en/US_locale", "basic 100%"),
        ),
        *(
            "VisualBasic 12345678",
            "VisualBasic Net48Project2024",
            "a basic deepseek-r1",
            'Basic realm="tokenhub", charset="UTF-8"',
        ),
        "The host name of http://tokenhub_server.invalid:8090/v1 is not known.",
    ],
)
def test_leaves_ordinary_words_unchanged(text: str) -> None:
    assert redact(text) == text


def test_redactor_redacts_only_the_keys_that_it_learned() -> None:
    redactor = Redactor()
    redactor.learn("c0ffee99")

    assert redactor("c0ffee99 and cafe") == f"{REDACTED} and cafe"


def test_redactors_share_no_keys() -> None:
    Redactor().learn("c0ffee99")

    assert Redactor()("c0ffee99") == "c0ffee99"


KEYS_OF_TOKENHUB = [f"tokenhub_{number:064x}" for number in range(1_000)]
OTHER_KEYS = [f"eyJhbGciOi+{number:08d}/{number:x}" for number in range(1_000)]


def seconds(redactor: Redactor, text: str) -> float:
    started = time.process_time()
    for _ in range(3):
        redactor(text)
    return time.process_time() - started


@pytest.mark.parametrize("keys", [KEYS_OF_TOKENHUB, OTHER_KEYS], ids=["of TokenHub", "others"])
@pytest.mark.parametrize("written", [str, by_go, in_a_url], ids=["plain", "Go", "URL"])
def test_redacts_many_keys_in_linear_time(keys: list[str], written: Callable[[str], str]) -> None:
    """A heartbeat function knows the key of every provider. Quadratic time would be a hundred times as long."""
    redactor = Redactor()
    for key in keys:
        redactor.learn(key)
    text = " ".join(written(key) for key in keys)
    first = " ".join(written(key) for key in keys[:100])

    assert redactor(text) == " ".join([REDACTED] * 1_000)
    assert seconds(redactor, text) < 40 * seconds(redactor, first)


def test_redacts_overlapping_keys_as_one() -> None:
    assert redact_secrets("<abcdefghijkl>", ["abcdefgh", "efghijkl"]) == f"<{REDACTED}>"


def test_redacts_a_key_in_a_nested_error() -> None:
    key = 'ab"cd\\ef/gh'
    inner = json.dumps({"error": key})
    outer = json.dumps({"error": {"message": f"API error: {inner}"}})

    assert redact(outer, [key]) == outer.replace(json.dumps(json.dumps(key)[1:-1])[1:-1], REDACTED)
    assert "cd" not in redact(outer, [key])
