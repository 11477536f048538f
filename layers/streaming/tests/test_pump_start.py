"""A pump that is closed before it reads anything."""

from collections.abc import Iterator

import pytest

from lambda_streaming import Pump


def test_close_before_the_first_item_stops_and_closes_the_source() -> None:
    calls: list[str] = []

    class Source:
        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            raise AssertionError("the pump read an item")

        def close(self) -> None:
            calls.append("closed")

    Pump(Source(), stop=lambda: calls.append("stopped")).close()

    assert calls == ["stopped", "closed"]


def test_an_invalid_source_raises_only_a_type_error() -> None:
    with pytest.raises(TypeError):
        Pump(5)  # type: ignore[arg-type]


def test_start_after_close_reads_nothing() -> None:
    read: list[bytes] = []
    items = Pump(read.append(item) or item for item in [b"a"])  # type: ignore[func-returns-value]
    items.close()

    items.start()

    assert list(items) == []
    assert read == []
