import json
import os
import threading
import time
from pathlib import Path

from tools.local.emulator.request_guard import Receive, RequestGuard, Scope, Send
from tools.local.emulator.saver import Saver, SaveReport, pause_after, pipe_reporter
from tools.local.emulator.snapshots import SnapshotStore


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Never runs."""


class Running:
    """A saver in a thread, for a service whose file can be made unwritable."""

    def __init__(self, folder: Path) -> None:
        self.live = folder / "live"
        self.reads = 0
        self.broken = False
        self.reports: list[SaveReport] = []
        self.guard = RequestGuard(app)
        self.guard.loaded = True
        store = SnapshotStore(folder / "aws", self.live, lambda: {"kms": self._state}, lambda _, state: state)
        store.restore()
        self._stopping = threading.Event()
        saver = Saver(store, self.guard, self.reports.append)
        self._thread = threading.Thread(target=saver.run, args=(self._stopping,), daemon=True)
        self._thread.start()

    def _state(self) -> bytes:
        self.reads += 1
        if self.broken:
            raise KeyError("a bug")
        return str(self.reads).encode()

    def fill_disk(self) -> None:
        (self.live / "kms.json.tmp").mkdir()

    def free_disk(self) -> None:
        (self.live / "kms.json.tmp").rmdir()

    def wait_for_reports(self, count: int) -> list[str | None]:
        end = time.monotonic() + 20
        while len(self.reports) < count and time.monotonic() < end:
            time.sleep(0.05)
        return [report.failure for report in self.reports]

    def stop(self) -> SaveReport:
        self._stopping.set()
        self._thread.join()
        return self.reports[-1]


def test_reports_a_full_disk_and_its_end_once_each(tmp_path: Path) -> None:
    running = Running(tmp_path)
    assert running.wait_for_reports(1) == [None]

    running.fill_disk()
    running.guard.changes += 1
    assert running.wait_for_reports(2) == [None, "Is a directory"]
    reads = running.reads
    while running.reads < reads + 2:
        time.sleep(0.1)
    running.free_disk()

    assert running.wait_for_reports(3) == [None, "Is a directory", None]
    assert running.reports[1].saved_until == running.reports[0].saved_until
    assert running.stop() == SaveReport(None, running.reports[-1].saved_until, final=True)


def test_reports_what_the_last_snapshot_could_not_save(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.wait_for_reports(1)
    running.fill_disk()

    last = running.stop()

    assert (last.failure, last.final) == ("Is a directory", True)
    assert last.saved_until == running.reports[0].saved_until


def test_goes_on_after_an_unexpected_error(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.broken = True
    assert running.wait_for_reports(1) == ["the local AWS raised KeyError"]

    running.broken = False

    assert running.wait_for_reports(2) == ["the local AWS raised KeyError", None]
    running.stop()


def test_takes_no_snapshot_before_the_state_is_loaded(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.guard.loaded = False

    running._stopping.set()
    running._thread.join()

    assert (running.reads, running.reports) == (0, [])


def test_a_change_waits_less_than_five_seconds_for_its_snapshot() -> None:
    for duration_s in (0.0, 0.5, 1.0, 2.0):
        # The running snapshot may lack the change, so it waits for the pause and the next one too.
        assert duration_s + pause_after(duration_s) + duration_s < 5
    assert pause_after(10) > 0


def test_writes_each_report_as_a_line_and_ignores_a_closed_pipe() -> None:
    read_end, write_end = os.pipe()
    report = pipe_reporter(write_end)

    report(SaveReport("No space left on device", 7.0))
    line = os.read(read_end, 1000)
    os.close(read_end)
    report(SaveReport(None, 8.0))
    os.close(write_end)

    assert json.loads(line) == {"failure": "No space left on device", "saved_until": 7.0, "final": False}
    assert line.endswith(b"\n")
