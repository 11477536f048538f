import resource
import subprocess
import sys
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.rehearsal import RunningTokenHub
from tests.soak.faults import DISK_FULL_S, NAMES, Faults

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class System:
    """A local system whose only process is the local AWS. Nothing listens at its URL."""

    url = "http://127.0.0.1:9"

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.output: list[str] = []

    def processes(self) -> list[str]:
        return [f"{self.pid} python -m tools.local.emulator /state 5"]


class Stopping(threading.Event):
    """Never waits. Set after every fault was played twice. Its wait for the full disk raises an error."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.pauses = 0
        self.limits: list[tuple[int, int]] = []
        self._pid = pid

    def wait(self, timeout: float | None = None) -> bool:
        if timeout == DISK_FULL_S:
            self.limits.append(resource.prlimit(self._pid, resource.RLIMIT_FSIZE))
            raise RuntimeError("an error during the fault")
        self.pauses += 1
        if self.pauses > 16:
            self.set()
        return self.is_set()


@pytest.fixture
def aws() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


@pytest.fixture
def tokenhub() -> Iterator[RunningTokenHub]:
    with RunningTokenHub() as running:
        yield running


def test_reports_an_error_of_a_fault_and_plays_the_others(aws: int, tokenhub: RunningTokenHub) -> None:
    faults, stopping = Faults(System(aws), tokenhub, "token", seed=1), Stopping(aws)

    faults.run(stopping)

    assert set(faults.problems) == {"the fault fill_disk raised RuntimeError: an error during the fault"}
    assert faults.played["restart_tokenhub"] >= 2
    assert httpx.get(f"{tokenhub.url}/v1/models", trust_env=False).status_code < 500
    # The file size was limited during the fault only.
    assert stopping.limits[0][0] == 4096
    assert resource.prlimit(aws, resource.RLIMIT_FSIZE) == UNLIMITED


def test_reports_faults_that_never_took_effect(aws: int, tokenhub: RunningTokenHub) -> None:
    faults = Faults(System(aws), tokenhub, "token", seed=1)
    assert faults.not_played() == [f"the fault {name} never took effect" for name in NAMES]

    faults.run(Stopping(aws))

    # The system has no gateway that takes a key, no worker to kill, and prints no warning.
    ineffective = ("rotate_key", "kill_workers", "fill_disk")
    assert faults.not_played() == [f"the fault {name} never took effect" for name in ineffective]


@pytest.mark.parametrize("warns", [True, False])
def test_full_disk_takes_effect_only_if_the_system_warns(aws: int, tokenhub: RunningTokenHub, warns: bool) -> None:
    system = System(aws)
    faults = Faults(system, tokenhub, "token", seed=1)

    class Full(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout == DISK_FULL_S:
                system.output += ["WARNING Nothing is saved in /state since 10:00:00: File too large."] * warns
                self.set()
            return self.is_set()

    faults.run(Full())

    assert faults.problems == []
    assert faults.played["fill_disk"] == warns
