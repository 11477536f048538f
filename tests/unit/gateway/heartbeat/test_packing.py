from hypothesis import given, strategies

from gateway.heartbeat.histogram import Histogram
from gateway.heartbeat.packing import (
    histogram_to_numbers,
    number_to_optional,
    numbers_to_histogram,
    optional_to_number,
    pack,
    unpack,
)
from tests.unit.gateway.builders import BRIEFLY


@BRIEFLY
@given(strategies.lists(strategies.integers(0, 2**40)))
def test_unpacks_what_was_packed(numbers: list[int]) -> None:
    assert list(unpack(pack(numbers))) == numbers


def test_small_numbers_take_one_byte() -> None:
    assert pack([0, 127, 128, 300]) == bytes([0, 127, 0x80, 1, 0xAC, 2])


def test_distinguishes_zero_from_unknown() -> None:
    assert [number_to_optional(optional_to_number(value)) for value in (None, 0, 7)] == [None, 0, 7]


@BRIEFLY
@given(strategies.lists(strategies.integers(0, 30_000)))
def test_restores_a_histogram_and_leaves_the_rest(values: list[int]) -> None:
    histogram = Histogram.from_values(values)
    numbers = iter([*histogram_to_numbers(histogram), 42])
    assert numbers_to_histogram(numbers) == histogram
    assert list(numbers) == [42]


def test_equal_histograms_pack_into_equal_bytes() -> None:
    one = Histogram.from_values([3, 500, 20])
    other = Histogram.merge([Histogram.from_values([500]), Histogram.from_values([20, 3])])
    assert pack(histogram_to_numbers(one)) == pack(histogram_to_numbers(other))
