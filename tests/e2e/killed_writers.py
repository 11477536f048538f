"""Clients that change providers until their local system is killed. Measures the age of the lost changes."""

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import httpx

from tests.local_system import LocalSystem
from tests.rehearsal import wait_until

WRITERS = 10
# The first change of a run waits for cold starts.
_TIMEOUT_S = 120


@dataclass
class Writer:
    """Increments the number in a provider's description. `acknowledged` maps each value to the time of its answer."""

    id: str
    value: int = 0
    acknowledged: dict[int, float] = field(default_factory=dict)

    def register(self, client: httpx.Client) -> None:
        one = f"/api/v1/providers/{self.id}"
        body = {"id": self.id, "description": "0", "endpoint": "http://localhost:1/v1", "heartbeat": {"enabled": False}}
        # On a slow machine, the first calls end in a 504 while their functions start. They may succeed nevertheless.
        assert wait_until(
            lambda: client.post("/api/v1/providers", json=body).is_success or client.get(one).is_success, 300, every=1
        )

    def write(self, client: httpx.Client, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self.value += 1
            try:
                answer = client.patch(f"/api/v1/providers/{self.id}", json={"description": str(self.value)})
            except httpx.HTTPError:
                # The system was killed. The change may have been saved.
                return
            if answer.status_code == 200:
                self.acknowledged[self.value] = time.monotonic()

    def lost(self, saved_value: int) -> list[float]:
        """Returns the times of the acknowledged changes after the saved one, and clears `acknowledged`."""
        times = [at for value, at in self.acknowledged.items() if value > saved_value]
        self.acknowledged.clear()
        return times


def kill_all(system: LocalSystem) -> float:
    """Kills every process of a system at once. Returns the time just before."""
    pids = [*(int(line.split()[0]) for line in system.processes()), system.pid]
    killed = time.monotonic()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    system.wait(20)
    return killed


def write_until_killed(system: LocalSystem, writers: list[Writer], seconds: float) -> float:
    """Lets all writers write for a while, and kills the system. Returns the time of the kill."""
    stopping = threading.Event()
    with httpx.Client(base_url=system.url, timeout=_TIMEOUT_S, trust_env=False) as client:
        threads = [threading.Thread(target=writer.write, args=(client, stopping), daemon=True) for writer in writers]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        killed = kill_all(system)
        stopping.set()
        for thread in threads:
            thread.join(_TIMEOUT_S)
    return killed


def seconds_lost(system: LocalSystem, writers: list[Writer], killed: float) -> float:
    """Returns the age, at the kill, of the oldest acknowledged change that the restarted system lacks."""
    listed = httpx.get(f"{system.url}/api/v1/providers", timeout=_TIMEOUT_S, trust_env=False).json()
    saved = {provider["id"]: int(provider["description"]) for provider in listed}
    assert len(saved) == len(writers)
    lost = [at for writer in writers for at in writer.lost(saved[writer.id])]
    return killed - min(lost) if lost else 0.0
