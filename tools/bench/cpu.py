"""The CPU time of other processes."""

import time


def cpu_s(process: int) -> float:
    """Returns the user and system time of a process and its threads, in seconds. Linux only."""
    # clock_getcpuclockid(3) returns this number: the inverted process id, and 2 for the scheduler's clock.
    return time.clock_gettime((~process << 3) | 2)
