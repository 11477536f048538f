import math
from statistics import median

import pytest
from hypothesis import given, strategies

from gateway.heartbeat.histogram import BUCKETS, LIMITS, MAX_MS, Histogram
from tests.unit.gateway.builders import BRIEFLY

LATENCIES = strategies.lists(strategies.integers(1, MAX_MS), min_size=1, max_size=300)


def nearest_rank(values: list[int], percent: int) -> int:
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]


@BRIEFLY
@given(LATENCIES, strategies.integers(1, 100))
def test_percentiles_are_within_5_percent_of_the_raw_values(values: list[int], percent: int) -> None:
    exact = nearest_rank(values, percent)
    assert Histogram.from_values(values).percentile(percent) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("percent", [50, 95])
def test_every_single_latency_is_within_5_percent(percent: int) -> None:
    for value in range(1, MAX_MS + 1):
        around = Histogram.merge([Histogram.from_values([value]), Histogram({}, 1, MAX_MS)])
        # pytest.approx takes ten times as long as the percentile.
        assert abs((around.percentile(percent) or 0) - value) <= 0.05 * value


@BRIEFLY
@given(strategies.lists(LATENCIES, min_size=1, max_size=5))
def test_merged_histograms_have_the_percentiles_of_all_values(groups: list[list[int]]) -> None:
    together = [value for values in groups for value in values]
    merged = Histogram.merge(Histogram.from_values(values) for values in groups)
    assert merged == Histogram.from_values(together)
    assert merged.count == len(together)
    assert merged.percentile(95) == pytest.approx(nearest_rank(together, 95), rel=0.05)


def test_the_median_of_medians_is_another_value() -> None:
    groups = [[100] * 9 + [5000], [4000], [6000]]
    merged = Histogram.merge(Histogram.from_values(values) for values in groups)
    assert merged.percentile(50) == pytest.approx(100, rel=0.05)
    assert median(median(values) for values in groups) == 4000


def test_buckets_cover_1_ms_to_25_s() -> None:
    assert LIMITS[0] == 1
    assert LIMITS[-1] < MAX_MS <= LIMITS[-1] * 1.1
    assert len(LIMITS) == BUCKETS == 107


def test_counts_extreme_latencies_in_the_outer_buckets() -> None:
    extreme = Histogram.from_values([0, 60_000])
    assert extreme.counts == {0: 1, BUCKETS - 1: 1}
    assert (extreme.min_ms, extreme.max_ms) == (0, 60_000)


def test_an_empty_histogram_has_no_percentile() -> None:
    assert Histogram.from_values([]) == Histogram.merge([]) == Histogram()
    assert Histogram().percentile(50) is None
