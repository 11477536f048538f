import asyncio
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from tools.local.emulator.request_guard import Receive, RequestGuard, Scope, Send
from tools.local.emulator.saver import Saver, SaveReport, pause_after, pipe_reporter, report_loaded
from tools.local.emulator.snapshots import SnapshotStore


async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Loads its state."""
    await send({"type": "lifespan.startup.complete"})


async def ignore(_message: Any = None) -> None:
    """Receives or sends nothing."""


class Stopping(threading.Event):
    """Waits for nothing. Set after three pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = 0

    def wait(self, _timeout: float | None = None) -> bool:
        self.pauses += 1
        return self.pauses > 3


class Running:
    """A saver in a thread, for a service whose file can be made unwritable."""

    def __init__(self, folder: Path, *, loads: bool = True, stopping: threading.Event | None = None) -> None:
        self.folder = folder / "aws"
        self.live = folder / "live"
        self.reads = 0
        self.broken = False
        self.changes_during_reads = 0
        self.failing_reads = 0
        self.reports: list[SaveReport] = []
        self.guard = RequestGuard(app, lambda: report_loaded(self.reports.append))
        store = SnapshotStore(self.folder, self.live, lambda: {"kms": self._state}, lambda _, state: state)
        store.restore()
        self._stopping = stopping or threading.Event()
        saver = Saver(store, self.guard, self.reports.append)
        self._thread = threading.Thread(target=saver.run, args=(self._stopping,), daemon=True)
        if loads:
            asyncio.run(self.guard({"type": "lifespan"}, ignore, ignore))
        self._thread.start()

    def _state(self) -> bytes:
        self.reads += 1
        if self.broken or self.failing_reads > 0:
            self.failing_reads -= 1
            raise KeyError("a bug")
        if self.changes_during_reads > 0:
            self.changes_during_reads -= 1
            self.guard.changes += 1
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

    def wait_for_first_snapshot(self) -> None:
        end = time.monotonic() + 20
        while not list(self.folder.glob("[0-9]*")):
            assert time.monotonic() < end
            time.sleep(0.05)

    def stop(self) -> SaveReport:
        self._stopping.set()
        self._thread.join()
        return self.reports[-1]


def test_reports_a_full_disk_and_its_end_once_each(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.wait_for_first_snapshot()

    filled = time.time()
    running.fill_disk()
    running.guard.changes += 1
    assert running.wait_for_reports(2) == [None, "Is a directory"]
    reads = running.reads
    while running.reads < reads + 2:
        time.sleep(0.1)
    running.free_disk()

    assert running.wait_for_reports(3) == [None, "Is a directory", None]
    loaded, failed, _ = running.reports
    # `saved_until` is the start of the first snapshot.
    assert loaded.saved_until < failed.saved_until <= filled
    assert running.stop() == SaveReport(None, running.reports[-1].saved_until, final=True)


def test_reports_that_the_last_snapshot_failed(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.wait_for_first_snapshot()
    filled = time.time()
    running.fill_disk()

    last = running.stop()

    assert (last.failure, last.final) == ("Is a directory", True)
    assert running.reports[0].saved_until < last.saved_until <= filled


def test_retries_the_last_snapshot(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.wait_for_first_snapshot()
    running.failing_reads = 1

    last = running.stop()

    assert (last.failure, last.final) == (None, True)


def test_takes_no_snapshot_without_a_change(tmp_path: Path) -> None:
    running = Running(tmp_path, stopping=Stopping())

    running._thread.join()

    # The first one and the last one.
    assert running.reads == 2


def test_continues_after_an_unexpected_error(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.broken = True
    # The first snapshot may be complete.
    running.guard.changes += 1
    assert running.wait_for_reports(2) == [None, "the local AWS raised KeyError"]

    running.broken = False

    assert running.wait_for_reports(3) == [None, "the local AWS raised KeyError", None]
    running.stop()


def test_reports_before_the_first_request_that_everything_is_saved() -> None:
    reports: list[SaveReport] = []
    reported_and_loaded: list[tuple[int, bool]] = []

    def on_loaded() -> None:
        reported_and_loaded.append((len(reports), guard.loaded))
        report_loaded(reports.append)

    guard = RequestGuard(app, on_loaded)

    async def accept_requests(_message: Any) -> None:
        reported_and_loaded.append((len(reports), guard.loaded))

    asyncio.run(guard({"type": "lifespan"}, ignore, accept_requests))

    # The snapshot thread waits for `loaded`, so its first report can only follow.
    assert reported_and_loaded == [(0, False), (1, True)]
    assert (reports[0].failure, reports[0].final) == (None, False)


def test_takes_no_snapshot_before_the_state_is_loaded(tmp_path: Path) -> None:
    running = Running(tmp_path, loads=False, stopping=Stopping())

    running._thread.join()

    assert (running.reads, running.reports) == (0, [])


def test_saves_a_change_during_a_snapshot_with_the_next_one(tmp_path: Path) -> None:
    running = Running(tmp_path, loads=False)
    running.changes_during_reads = 1
    asyncio.run(running.guard({"type": "lifespan"}, ignore, ignore))

    end = time.monotonic() + 20
    while running.reads < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    running.stop()


def test_a_change_waits_less_than_five_seconds_for_its_snapshot() -> None:
    for duration_s in (0.0, 0.5, 1.0, 2.0):
        # The running snapshot may lack the change. The change then waits for the pause and the next snapshot too.
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
