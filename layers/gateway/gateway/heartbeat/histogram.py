"""A histogram of latencies whose sums give the percentiles of any period. Percentiles themselves cannot be summed."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

# A percentile is the geometric mean of a bucket's limits, so its error is at most the square root of 1.1: 4.9 %.
FACTOR = 1.1
MIN_MS = 1
# More than the 20 s of a heartbeat.
MAX_MS = 25_000
BUCKETS = math.floor(math.log(MAX_MS, FACTOR)) + 1
# The lower limits of the buckets, in milliseconds.
LIMITS = tuple(MIN_MS * FACTOR**number for number in range(BUCKETS))


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of latencies by bucket number, without empty buckets. `min_ms` and `max_ms` are exact, None when empty."""

    counts: Mapping[int, int] = field(default_factory=dict)
    min_ms: int | None = None
    max_ms: int | None = None

    @classmethod
    def from_values(cls, values_ms: Iterable[int]) -> Self:
        """Counts latencies in milliseconds. Those outside 1 ms to 25 s belong to the first or the last bucket."""
        values = sorted(values_ms)
        if not values:
            return cls()
        counts = Counter(max(0, bisect_right(LIMITS, value) - 1) for value in values)
        return cls(counts, values[0], values[-1])

    @classmethod
    def merge(cls, histograms: Iterable["Histogram"]) -> Self:
        """Returns the histogram of all values of several histograms."""
        counts: Counter[int] = Counter()
        limits: list[int] = []
        for each in histograms:
            counts.update(each.counts)
            limits += [limit for limit in (each.min_ms, each.max_ms) if limit is not None]
        return cls(counts, min(limits, default=None), max(limits, default=None))

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts.values())

    def percentile(self, percent: int) -> float | None:
        """Returns the nearest-rank percentile in milliseconds with an error of at most 5 %. None when empty."""
        if self.min_ms is None or self.max_ms is None:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        for number in sorted(self.counts):
            rank -= self.counts[number]
            if rank <= 0:
                break
        middle = LIMITS[number] * math.sqrt(FACTOR)
        return round(min(max(middle, self.min_ms), self.max_ms), 1)


NO_LATENCIES = Histogram()
