"""The faults of a soak run, one after the other."""

import os
import random
import resource
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Protocol

import httpx

from tests.rehearsal import RunningTokenHub

PAUSE_S = 4.0
DISK_FULL_S = 8.0
RESTART_S = 1.0
NAMES = ("restart_tokenhub", "rotate_key", "stall_streams", "hang", "kill_workers", "fill_disk")
# Smaller than any state file. The local AWS's log is larger too, so it loses lines during the fault.
_FULL_DISK_BYTES = 4096
_WARNING = "WARNING Nothing is saved"


class System(Protocol):
    """The part of LocalSystem that the faults need."""

    output: list[str]

    @property
    def url(self) -> str: ...

    def processes(self) -> list[str]: ...


class Faults:
    """Plays every fault in turn, in a random order that `seed` reproduces. `keys` has every key of a provider.

    `played` counts the faults that took effect, `problems` describes those that raised an error.
    """

    def __init__(self, system: System, tokenhub: RunningTokenHub, admin_token: str, seed: int) -> None:
        self.played: Counter[str] = Counter()
        self.problems: list[str] = []
        self.keys: list[str] = []
        self._system = system
        self._tokenhub = tokenhub
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        # Found while the system is idle: a process that is about to become a worker has the same command for a moment.
        [self._aws] = self._pids("-m tools.local.emulator")
        self._admin = httpx.Client(
            base_url=system.url, headers={"Authorization": f"Bearer {admin_token}"}, timeout=90, trust_env=False
        )

    def run(self, stopping: threading.Event) -> None:
        """Plays faults until `stopping` is set. The disk is free and TokenHub is up at the end."""
        self._stopping = stopping
        names = list(NAMES)
        with closing(self._admin):
            while not stopping.is_set():
                self._random.shuffle(names)
                for name in names:
                    if stopping.wait(PAUSE_S):
                        break
                    self._play(name)

    def _play(self, name: str) -> None:
        """Plays one fault. Records an error, so that the other faults follow."""
        fault: Callable[[], bool] = getattr(self, name)
        try:
            self.played[name] += fault()
        except Exception as error:  # noqa: BLE001
            self.problems.append(f"the fault {name} raised {type(error).__name__}: {error}")

    def not_played(self) -> list[str]:
        """Describes each fault that never took effect, so that the run did not test it."""
        return [f"the fault {name} never took effect" for name in NAMES if not self.played[name]]

    def register(self) -> None:
        """Registers the provider of the streams, with the first key."""
        body = {"id": "shared", "endpoint": f"{self._tokenhub.url}/v1", "api_key": self._new_key()}
        self._admin.post("/api/v1/providers", json=body).raise_for_status()

    def restart_tokenhub(self) -> bool:
        self._tokenhub.stop()
        try:
            self._stopping.wait(RESTART_S)
        finally:
            self._tokenhub.start()
        return True

    def rotate_key(self) -> bool:
        """Replaces the key. After a timeout or on a full disk this may fail. The key must not appear then either."""
        with suppress(httpx.HTTPError):
            return self._admin.patch("/api/v1/providers/shared", json={"api_key": self._new_key()}).is_success
        return False

    def stall_streams(self) -> bool:
        self._tokenhub.rehearse("hang_after_first", 3)
        return True

    def hang(self) -> bool:
        self._tokenhub.rehearse("hang", 2)
        return True

    def kill_workers(self) -> bool:
        """Kills one process of a streaming function and one of any other function, if there are both."""
        killed = 0
        for mark in ("-m awslambdaric", "/_worker.py"):
            if pids := self._pids(mark):
                with suppress(ProcessLookupError):
                    os.kill(self._random.choice(pids), signal.SIGKILL)
                    killed += 1
        return killed == 2

    def fill_disk(self) -> bool:
        """Limits the size of the local AWS's files. Takes effect if the system warns that nothing is saved."""
        warnings = self._warnings()
        resource.prlimit(self._aws, resource.RLIMIT_FSIZE, (_FULL_DISK_BYTES, resource.RLIM_INFINITY))
        try:
            self._stopping.wait(DISK_FULL_S)
        finally:
            resource.prlimit(self._aws, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return self._warnings() > warnings

    def _warnings(self) -> int:
        return sum(line.startswith(_WARNING) for line in self._system.output)

    def _pids(self, mark: str) -> list[int]:
        return [int(line.split()[0]) for line in self._system.processes() if mark in line]

    def _new_key(self) -> str:
        self.keys.append("tokenhub_" + secrets.token_hex(32))
        return self.keys[-1]
