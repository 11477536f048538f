"""The processes, memory and sockets of a local system, from /proc."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.local_system import LocalSystem

MAX_MORE_PROCESSES = 2
MAX_MORE_SOCKETS = 20
# The local AWS keeps the log lines of a day in its memory, about 13 KB for each request.
MAX_MORE_MEGABYTES = 40
MAX_MORE_KILOBYTES_PER_REQUEST = 20
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """The resources that a system uses. `megabytes` is the resident memory of all its processes."""

    processes: int
    megabytes: int
    sockets: int


def has_grown(before: Usage, after: Usage, requests: int) -> bool:
    """Whether a system uses more than before, beyond what it may keep after this number of requests."""
    max_more_megabytes = MAX_MORE_MEGABYTES + requests * MAX_MORE_KILOBYTES_PER_REQUEST // 1000
    return (
        after.processes - before.processes > MAX_MORE_PROCESSES
        or after.sockets - before.sockets > MAX_MORE_SOCKETS
        or after.megabytes - before.megabytes > max_more_megabytes
    )


def measure(system: LocalSystem) -> Usage:
    """Measures a running system. Skips processes that end meanwhile."""
    pids = [int(line.split()[0]) for line in system.processes()]
    pages, sockets = 0, 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    sockets += str(descriptor.readlink()).startswith("socket:")
    return Usage(len(pids), pages * _PAGE_BYTES // 1_000_000, sockets)
