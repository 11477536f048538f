"""The processes, memory and sockets of a local system, from /proc."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.local_system import LocalSystem

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """The resources that a system uses. `megabytes` is the resident memory of all its processes."""

    processes: int
    megabytes: int
    sockets: int


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
