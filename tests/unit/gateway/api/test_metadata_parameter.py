import pytest
from jsonschema import Draft202012Validator

from gateway.api.openapi import document


@pytest.mark.parametrize(
    ("labels", "is_valid"),
    [
        ({}, True),
        ({"team": "search"}, True),
        (dict.fromkeys("abcdef", ""), False),
        ({"team": 7}, False),
        ({"team": "v" * 129}, False),
        ({"n" * 129: "v"}, False),
        ([], False),
    ],
)
def test_describes_the_metadata_header_of_every_forwarded_route(labels: object, *, is_valid: bool) -> None:
    paths = document({"openapi": "3.1.0", "paths": {}, "components": {"schemas": {}}})["paths"]
    paths = {path: item for path, item in paths.items() if path.startswith(("/v1/", "/anthropic/"))}
    assert len(paths) > 10
    for operation in (operation for item in paths.values() for operation in item.values()):
        [parameter] = [each for each in operation["parameters"] if each["name"] == "X-Gateway-Metadata"]
        assert Draft202012Validator(parameter["schema"]["contentSchema"]).is_valid(labels) == is_valid
