"""What goes wrong during a soak run, one fault after the other."""

import os
import random
import resource
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress

import httpx

from tests.local_system import LocalSystem
from tests.rehearsal import RunningTokenHub

PAUSE_S = 4.0
DISK_FULL_S = 8.0
RESTART_S = 1.0
# Smaller than any state file. The local AWS's log is larger, too, and loses its lines meanwhile.
_FULL_DISK_BYTES = 4096


class Faults:
    """Plays every fault in turn, in a random order that `seed` repeats. `keys` are all keys that providers had."""

    def __init__(self, system: LocalSystem, tokenhub: RunningTokenHub, admin_token: str, seed: int) -> None:
        self.played: Counter[str] = Counter()
        self.keys: list[str] = []
        self._system = system
        self._tokenhub = tokenhub
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._admin = httpx.Client(
            base_url=system.url, headers={"Authorization": f"Bearer {admin_token}"}, timeout=90, trust_env=False
        )

    def run(self, stopping: threading.Event) -> None:
        """Plays faults until `stopping` is set. The disk is free and TokenHub is up at the end."""
        self._stopping = stopping
        faults: list[Callable[[], None]] = [
            self.restart_tokenhub,
            self.rotate_key,
            self.stall_streams,
            self.hang,
            self.kill_workers,
            self.fill_disk,
        ]
        with closing(self._admin):
            while not stopping.is_set():
                self._random.shuffle(faults)
                for fault in faults:
                    if stopping.wait(PAUSE_S):
                        break
                    fault()
                    self.played[fault.__name__] += 1

    def register(self) -> None:
        """Registers the provider of the streams, with the first key."""
        body = {"id": "shared", "endpoint": f"{self._tokenhub.url}/v1", "api_key": self._new_key()}
        self._admin.post("/api/v1/providers", json=body).raise_for_status()

    def restart_tokenhub(self) -> None:
        self._tokenhub.stop()
        self._stopping.wait(RESTART_S)
        self._tokenhub.start()

    def rotate_key(self) -> None:
        # A timeout or a full disk may refuse it; the key must appear nowhere then, either.
        with suppress(httpx.HTTPError):
            self._admin.patch("/api/v1/providers/shared", json={"api_key": self._new_key()})

    def stall_streams(self) -> None:
        self._tokenhub.rehearse("hang_after_first", 3)

    def hang(self) -> None:
        self._tokenhub.rehearse("hang", 2)

    def kill_workers(self) -> None:
        """Kills one process of a streaming function and one of any other function."""
        lines = self._system.processes()
        for mark in ("-m awslambdaric", "/_worker.py"):
            pids = [int(line.split()[0]) for line in lines if mark in line]
            if pids:
                with suppress(ProcessLookupError):
                    os.kill(self._random.choice(pids), signal.SIGKILL)

    def fill_disk(self) -> None:
        [aws] = [int(line.split()[0]) for line in self._system.processes() if "-m tools.local.emulator" in line]
        resource.prlimit(aws, resource.RLIMIT_FSIZE, (_FULL_DISK_BYTES, resource.RLIM_INFINITY))
        self._stopping.wait(DISK_FULL_S)
        resource.prlimit(aws, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def _new_key(self) -> str:
        self.keys.append("tokenhub_" + secrets.token_hex(32))
        return self.keys[-1]
