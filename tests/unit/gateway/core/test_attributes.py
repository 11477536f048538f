from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer

from gateway.core.attributes import attribute, attributes, plain, plain_item

VALUES: list[Any] = [
    "text",
    "",
    True,
    False,
    0,
    -7,
    Decimal("1.5"),
    None,
    {"a": 1, "b": {"c": [None, "d"]}},
    [1, "two", [True]],
    [],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_converts_as_boto3_does(value: Any) -> None:
    converted = attribute(value)

    assert converted == TypeSerializer().serialize(value)
    assert plain(converted) == TypeDeserializer().deserialize(converted) == value


def test_bytes_are_base64_text_in_the_protocol() -> None:
    assert attribute(b"\x00\xff") == {"B": "AP8="}
    assert plain({"B": "AP8="}) == b"\x00\xff"


@pytest.mark.parametrize("value", [{"SS": ["a", "b"]}, {"NS": ["1", "2.5"]}, {"N": "12"}], ids=repr)
def test_reads_what_others_have_written(value: Any) -> None:
    assert plain(value) == TypeDeserializer().deserialize(value)


@pytest.mark.parametrize("value", [1.5, {"a"}, Binary(b"a"), object()], ids=lambda value: type(value).__name__)
def test_rejects_other_values(value: Any) -> None:
    with pytest.raises(TypeError, match=r"stores no \w+ here"):
        attribute(value)


def test_converts_items() -> None:
    item = {"id": "main", "cells": b"1", "number": Decimal(3)}

    assert plain_item(attributes(item)) == item
