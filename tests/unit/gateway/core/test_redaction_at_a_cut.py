import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.redaction import MIN_CUT_CHARACTERS, REDACTED, redact_cut_secrets
from tests.unit.gateway.builders import KEY
from tests.unit.gateway.encodings import by_go, in_a_url


@given(st.text(string.ascii_letters + string.digits + '&/+"', min_size=10, max_size=40), st.data())
def test_redacts_the_beginning_of_a_key_at_a_cut(key: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(MIN_CUT_CHARACTERS, len(key)))
    for written in (key[:cut], json.dumps(key[:cut])[1:-1], by_go(key[:cut]), in_a_url(key[:cut])):
        assert redact_cut_secrets(f"no key: {written}", [key]) == f"no key: {REDACTED}"


def test_redacts_a_key_that_is_cut_inside_an_escape() -> None:
    assert redact_cut_secrets("no key: c0ffee0123\\u00", ["c0ffee0123&tea"]) == f"no key: {REDACTED}"
    assert redact_cut_secrets("no key: c0ffee0123 more", ["c0ffee0123&tea"]) == "no key: c0ffee0123 more"


@pytest.mark.parametrize(
    "text", ["missing or invalid token", "refused by tokenhub", "invalid tokenhub_", "it is yours"]
)
def test_leaves_ordinary_words_at_a_cut_unchanged(text: str) -> None:
    assert redact_cut_secrets(text, [KEY, "your-tokenhub-api-key", "sk-0123456789"]) == text
