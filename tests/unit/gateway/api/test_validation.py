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


def test_names_missing_fields() -> None:
    error = refused(endpoint=ENDPOINT)
    assert (error.message, error.param, error.status) == ("id is missing.", "id", 400)


def test_names_unknown_fields() -> None:
    error = refused(id="main", endpoint=ENDPOINT, apikey="x")
    assert error.message == "apikey is not a field of a provider; leave it out."
    assert error.param == "apikey"


def test_names_nested_fields_by_their_path() -> None:
    error = refused(id="main", endpoint=ENDPOINT, heartbeat={"max_tokens": 0})
    assert error.param == "heartbeat.max_tokens"
    assert error.message.startswith("heartbeat.max_tokens is not valid: input should be")


def test_explains_an_invalid_id() -> None:
    message = refused(id="a b", endpoint=ENDPOINT).message
    assert "1 to 64 letters" in message
    assert "[A-Za-z0-9]" not in message


def test_explains_a_null_that_removes_nothing() -> None:
    with pytest.raises(ValidationError) as caught:
        PatchIn.model_validate({"heartbeat": {"enabled": None}})
    error = invalid_request([dict(found) for found in caught.value.errors()])
    assert error.message == "heartbeat.enabled cannot be null; leave it out to keep the stored value."


def test_names_all_invalid_fields_at_once() -> None:
    error = refused(type="mock", default="yes")
    assert error.message.startswith("id is missing. endpoint is missing. type is not valid: ")
    assert " default is not valid: " in error.message
    assert error.param == "id"


def test_limits_the_number_of_fields_in_a_message() -> None:
    error = refused(id="main", endpoint=ENDPOINT, **{f"field{number}": 1 for number in range(100_000)})

    assert error.message.startswith("field0 is not a field of a provider; leave it out. field1 is")
    assert error.message.endswith("field9 is not a field of a provider; leave it out. And 99990 more.")


def test_cuts_long_field_names() -> None:
    error = refused(id="main", endpoint=ENDPOINT, **{"x" * 3_500_000: 1})

    assert error.message == "x" * 64 + " is not a field of a provider; leave it out."
    assert error.param == "x" * 64


def test_redacts_a_key_in_a_field_name_before_cutting_it() -> None:
    error = refused(id="main", endpoint=ENDPOINT, **{"x" * 54 + "." + KEY: 1})

    assert error.param == "x" * 54 + ".[redacted"


@pytest.mark.parametrize(
    "fields", [{"api_key": KEY + " "}, {"api_key": {"key": KEY}}, {"name": KEY * 9}, {"type": KEY}]
)
def test_never_repeats_the_input(fields: dict[str, object]) -> None:
    error = refused(id="main", endpoint=ENDPOINT, **fields)
    assert KEY not in repr(error.body())


@pytest.mark.parametrize(
    "key",
    [f"Bearer {KEY}", f"bearer\t{KEY}", f" Bearer  {KEY}", f"Authorization: Bearer {KEY}", f'"Bearer {KEY}"', "Bearer"],
)
def test_says_that_a_key_begins_with_bearer(key: str) -> None:
    error = refused(id="main", endpoint=ENDPOINT, api_key=key)
    assert error.message == "api_key begins with Bearer, which the gateway adds; send the key alone."
    assert error.param == "api_key"


@pytest.mark.parametrize("key", [KEY + "\n", f"{KEY} {KEY}", "schlüssel-0123456789", "\x7f", "Basic YTpi"])
def test_describes_an_invalid_key_without_a_pattern(key: str) -> None:
    assert refused(id="main", endpoint=ENDPOINT, api_key=key).message == (
        "api_key contains a space, a line break or a character outside ASCII; copy the key again and send it alone."
    )


def test_accepts_keys_that_contain_bearer() -> None:
    for key in ("bearer-0123456789", "tokenhub_bearer"):
        assert ProviderIn(id="main", endpoint=ENDPOINT, api_key=key).api_key == key
    assert PatchIn.model_validate({"api_key": "Bearerx"}).api_key == "Bearerx"


@pytest.mark.parametrize("field", ["name", "model"])
def test_describes_an_invalid_name_without_a_pattern(field: str) -> None:
    error = refused(id="main", endpoint=ENDPOINT, **{field: "two\nlines"})
    assert error.message == f"{field} contains a line break or another control character; leave it out."


@pytest.mark.parametrize("body", [None, "", "no", "{", "[" * 100_000])
def test_rejects_a_body_that_is_not_json(body: str | None) -> None:
    with pytest.raises(InvalidRequest, match="not JSON") as caught:
        require_object(body)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("body", ["[]", "null", "7", '"id"', '[{"id": "main"}]'])
def test_rejects_a_body_that_is_not_an_object(body: str) -> None:
    with pytest.raises(InvalidRequest, match="not a JSON object"):
        require_object(body)


def test_accepts_an_object() -> None:
    require_object('{"anything": 1}')
