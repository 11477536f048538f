from typing import Any

import pytest
from pydantic import ValidationError

from gateway.api.validation import invalid_request, require_object
from gateway.core.errors import InvalidRequest
from gateway.registry.schemas import PatchIn, ProviderIn
from tests.unit.gateway.builders import ENDPOINT, KEY


def refused(**fields: Any) -> InvalidRequest:
    with pytest.raises(ValidationError) as caught:
        ProviderIn.model_validate(fields)
    findings = [dict(error) | {"loc": ("body", *error["loc"])} for error in caught.value.errors()]
    return invalid_request(findings)


def test_what_is_missing_is_named() -> None:
    error = refused(endpoint=ENDPOINT)
    assert (error.message, error.param, error.status) == ("id is missing.", "id", 400)


def test_what_is_no_field_is_named() -> None:
    error = refused(id="main", endpoint=ENDPOINT, apikey="x")
    assert error.message == "apikey is not a field of a provider; leave it out."
    assert error.param == "apikey"


def test_a_field_inside_another_is_named_with_its_path() -> None:
    error = refused(id="main", endpoint=ENDPOINT, heartbeat={"max_tokens": 0})
    assert error.param == "heartbeat.max_tokens"
    assert error.message.startswith("heartbeat.max_tokens is not valid: input should be")


def test_an_invalid_id_is_told_in_words_and_not_as_a_pattern() -> None:
    message = refused(id="a b", endpoint=ENDPOINT).message
    assert "1 to 64 letters" in message
    assert "[A-Za-z0-9]" not in message


def test_null_where_nothing_can_be_removed_is_told_in_words() -> None:
    with pytest.raises(ValidationError) as caught:
        PatchIn.model_validate({"heartbeat": {"enabled": None}})
    error = invalid_request([dict(found) for found in caught.value.errors()])
    assert error.message == "heartbeat.enabled cannot be null; leave it out to keep what is there."


def test_all_that_is_wrong_is_told_at_once() -> None:
    error = refused(type="mock", default="yes")
    assert error.message.startswith("id is missing. endpoint is missing. type is not valid: ")
    assert " default is not valid: " in error.message
    assert error.param == "id"


def test_a_hundred_thousand_unknown_fields_are_told_in_a_few_words() -> None:
    error = refused(id="main", endpoint=ENDPOINT, **{f"field{number}": 1 for number in range(100_000)})

    assert error.message.startswith("field0 is not a field of a provider; leave it out. field1 is")
    assert error.message.endswith("field9 is not a field of a provider; leave it out. And 99990 more.")


def test_the_name_of_a_field_is_told_in_part_where_it_is_long() -> None:
    error = refused(id="main", endpoint=ENDPOINT, **{"x" * 3_500_000: 1})

    assert error.message == "x" * 64 + " is not a field of a provider; leave it out."
    assert error.param == "x" * 64


def test_a_key_as_the_name_of_a_field_is_redacted_before_the_name_is_cut() -> None:
    error = refused(id="main", endpoint=ENDPOINT, **{"x" * 54 + "." + KEY: 1})

    assert error.param == "x" * 54 + ".[redacted"


@pytest.mark.parametrize(
    "fields", [{"api_key": KEY + " "}, {"api_key": {"key": KEY}}, {"name": KEY * 9}, {"type": KEY}]
)
def test_what_was_sent_is_never_repeated(fields: dict[str, object]) -> None:
    error = refused(id="main", endpoint=ENDPOINT, **fields)
    assert KEY not in repr(error.body())


@pytest.mark.parametrize("body", [None, "", "no", "{", "[" * 100_000])
def test_a_body_that_is_no_json_is_refused(body: str | None) -> None:
    with pytest.raises(InvalidRequest, match="not JSON") as caught:
        require_object(body)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("body", ["[]", "null", "7", '"id"', '[{"id": "main"}]'])
def test_a_body_that_is_no_object_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest, match="no object"):
        require_object(body)


def test_an_object_is_let_through() -> None:
    require_object('{"anything": 1}')
