import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.core.strict_json import DUPLICATE_FIELD, NOT_JSON, read_object
from tests.unit.gateway.builders import BRIEFLY

EXAMPLE = '{"a": 1}'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@BRIEFLY
@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_reads_every_object_unchanged(content: dict[str, object]) -> None:
    assert read_object(json.dumps(content), EXAMPLE) == content


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", '{"a": NaN}', '{"a": -Infinity}', "{'a': 1}", '{"a": 1}{', '{"a": 01}', "\ufeff{}"),
        '{"a": ' + "9" * 5000 + "}",
        "[" * 200_000,
        '{"a":' * 200_000,
    ],
    ids=lambda text: text[:20],
)
def test_rejects_text_that_is_not_json(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_object(text, EXAMPLE)
    assert caught.value.message == NOT_JSON


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 1}}', '{"a": 1, "\\u0061": 2}'])
def test_rejects_duplicate_keys(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_object(text, EXAMPLE)
    assert caught.value.message == DUPLICATE_FIELD


@pytest.mark.parametrize("text", ["[]", '[{"a": 1}]', '"a"', "1", "null", "true"])
def test_rejects_other_json_with_an_example_of_an_object(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r'like \{"a": 1\}'):
        read_object(text, EXAMPLE)
