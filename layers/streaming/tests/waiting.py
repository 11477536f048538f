"""Waits for a condition that another thread fulfils."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], limit: float = 30) -> bool:
    """Waits until the condition is true, for at most `limit` seconds. Returns whether it became true."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return bool(condition())
