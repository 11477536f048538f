from typing import Any

import pytest
from pydantic import ValidationError

from gateway.registry.schemas import NULLABLE, PatchIn, ProviderIn
from tests.unit.gateway.builders import KEY, patch


def validation_errors(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        patch(**fields)
    return [(".".join(map(str, error["loc"])), error["type"]) for error in caught.value.errors()]


def test_patch_contains_only_sent_fields() -> None:
    assert patch().model_dump(exclude_unset=True) == {}
    sent = {"model": None, "default": False, "heartbeat": {"model": None}, "muted_until": None}
    assert patch(**sent).model_dump(exclude_unset=True) == sent
    assert [patch().api_key, patch().default, patch().id] == [None] * 3
    assert KEY not in repr(patch(api_key=KEY))


@pytest.mark.parametrize("name", [name for name in PatchIn.model_fields if name not in NULLABLE])
def test_rejects_null_except_for_nullable_fields(name: str) -> None:
    assert validation_errors(**{name: None}) == [(name, "null_refused")]


def test_rejects_null_in_heartbeat_settings() -> None:
    assert validation_errors(heartbeat={"enabled": None}) == [("heartbeat.enabled", "null_refused")]


def test_null_removes_the_model_and_the_limit_of_heartbeats() -> None:
    changes = patch(heartbeat={"model": None, "max_tokens": None})
    assert changes.model_dump(exclude_unset=True)["heartbeat"] == {"model": None, "max_tokens": None}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"modle": "x"}, ("modle", "extra_forbidden")),
        ({"heartbeat": {"interval": 5}}, ("heartbeat.interval", "extra_forbidden")),
        ({"id": "a/b"}, ("id", "string_pattern_mismatch")),
        ({"name": ""}, ("name", "string_too_short")),
        ({"type": "mock"}, ("type", "literal_error")),
        ({"default": 1}, ("default", "bool_type")),
        ({"model": "a\x00b"}, ("model", "string_pattern_mismatch")),
        ({"api_key": "with space"}, ("api_key", "string_pattern_mismatch")),
        ({"description": "x" * 1025}, ("description", "string_too_long")),
        ({"heartbeat": {"max_tokens": 4097}}, ("heartbeat.max_tokens", "less_than_equal")),
        ({"endpoint": 7}, ("endpoint", "string_type")),
    ],
)
def test_patch_validates_like_a_registration(fields: dict[str, Any], error: tuple[str, str]) -> None:
    assert validation_errors(**fields) == [error]


def test_patch_has_every_registration_field() -> None:
    assert PatchIn.model_fields.keys() == ProviderIn.model_fields.keys()


def test_schema_has_no_defaults_and_no_required_fields() -> None:
    schema = PatchIn.model_json_schema()
    assert "required" not in schema
    assert "default" not in set().union(*schema["properties"].values())
