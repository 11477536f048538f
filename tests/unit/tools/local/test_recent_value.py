from collections.abc import Callable, Iterator

import pytest

from tools.local.recent_value import RecentValue


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def reader(values: Iterator[str]) -> Callable[[], str]:
    return lambda: next(values)


def test_reads_a_value_again_after_a_second() -> None:
    clock = Clock()
    value = RecentValue(reader(iter(["first", "second"])), clock)

    assert (value(), value()) == ("first", "first")
    clock.now = 1.0
    assert value() == "first"
    clock.now = 1.1
    assert (value(), value()) == ("second", "second")


def test_a_failed_read_is_repeated() -> None:
    values = iter(["value"])
    attempts: list[bool] = []

    def read() -> str:
        attempts.append(True)
        if len(attempts) == 1:
            raise ConnectionError
        return next(values)

    value = RecentValue(read, Clock())
    with pytest.raises(ConnectionError):
        value()

    assert value() == "value"
