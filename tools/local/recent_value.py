"""A value that is read again only when it is older than a second."""

import time
from collections.abc import Callable

MAX_AGE_S = 1.0


class RecentValue:
    """Calls `read` for the first value, and again when the last one is older than MAX_AGE_S. Thread-safe."""

    def __init__(self, read: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        # The time and the value are one object, because threads replace them.
        self._last: tuple[float, str] | None = None

    def __call__(self) -> str:
        last, now = self._last, self._clock()
        if last is not None and now - last[0] <= MAX_AGE_S:
            return last[1]
        value = self._read()
        self._last = now, value
        return value
