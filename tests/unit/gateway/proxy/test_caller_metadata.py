import json

import pytest

from gateway.core.request_errors import InvalidMetadata
from gateway.proxy.caller_metadata import MAX_CHARACTERS, MAX_ENTRIES
from gateway.proxy.request import ForwardRequest, with_metadata

LONGEST = {f"{index}".ljust(MAX_CHARACTERS, "n"): "v" * MAX_CHARACTERS for index in range(MAX_ENTRIES)}


def labels_of(headers: dict[str, str]) -> dict[str, str]:
    request = ForwardRequest(method="POST", path="/chat/completions", request_id="r", headers=headers)
    return dict(with_metadata(request).metadata)


@pytest.mark.parametrize("labels", [{}, {"team": "search"}, {"": ""}, {"größe": "\ud800"}, LONGEST])
@pytest.mark.parametrize("name", ["X-Gateway-Metadata", "x-gateway-metadata"])
def test_reads_up_to_five_strings(name: str, labels: dict[str, str]) -> None:
    assert labels_of({"accept": "*/*", name: json.dumps(labels)}) == labels


def test_a_request_without_the_header_has_no_labels() -> None:
    assert labels_of({"accept": "*/*"}) == {}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "is not a JSON object"),
        ("team=search", "is not a JSON object"),
        ('["team"]', "is not a JSON object"),
        ('"team"', "is not a JSON object"),
        ("null", "is not a JSON object"),
        ("[" * 9000, "is not a JSON object"),
        ('{"a": "1", "a": "2"}', "has the same name twice"),
        ('{"team": 7}', "has a value that is not a string"),
        ('{"team": null}', "has a value that is not a string"),
        ('{"team": {"a": "b"}}', "has a value that is not a string"),
        (json.dumps(dict.fromkeys("abcdef", "")), "has more than 5 entries"),
        (json.dumps({"team": "v" * (MAX_CHARACTERS + 1)}), "of more than 128 characters"),
        (json.dumps({"n" * (MAX_CHARACTERS + 1): "v"}), "of more than 128 characters"),
    ],
)
def test_rejects_other_values_and_says_why(header: str, reason: str) -> None:
    with pytest.raises(InvalidMetadata, match=reason) as raised:
        labels_of({"x-gateway-metadata": header})
    assert (raised.value.status, raised.value.code, raised.value.param) == (
        400,
        "invalid_metadata",
        "X-Gateway-Metadata",
    )


def test_an_error_never_repeats_the_header() -> None:
    with pytest.raises(InvalidMetadata) as raised:
        labels_of({"x-gateway-metadata": '{"private": 7}'})
    assert "private" not in str(raised.value)
