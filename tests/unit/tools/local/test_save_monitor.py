import asyncio
from pathlib import Path

import pytest

from tools.local.emulator.saver import SaveReport, pipe_reporter
from tools.local.save_monitor import SaveMonitor
from tools.local.settings import UserError

FULL = "No space left on device"


def lines_after(*reports: SaveReport) -> list[str]:
    """Returns the lines that a monitor prints. Its check runs at the end."""
    lines: list[str] = []

    async def run() -> None:
        monitor = SaveMonitor(Path("/state"), lines.append)
        report = pipe_reporter(monitor.open())
        for one in reports:
            report(one)
            await asyncio.sleep(0.05)
            assert monitor.failure == one.failure
        monitor.check()

    asyncio.run(run())
    return lines


def test_prints_when_saving_fails_and_works_again() -> None:
    failed, saved = SaveReport(FULL, 0.0), SaveReport(None, 9.0)

    first, second = lines_after(saved, failed, saved, SaveReport(None, 9.0, final=True))

    assert first.startswith("WARNING Nothing is saved in /state since ")
    assert f": {FULL}. Free space on its disk." in first
    assert second == "Everything is saved in /state again."


def test_reports_unsaved_changes_at_the_stop() -> None:
    with pytest.raises(UserError, match=rf"^The changes since [\d:]+ were not saved in /state: {FULL}\. Free space"):
        lines_after(SaveReport(None, 0.0), SaveReport(FULL, 0.0, final=True))


def test_reports_a_local_aws_that_was_killed_before_its_last_snapshot() -> None:
    with pytest.raises(UserError, match=r"ended before its last snapshot\. The changes since [\d:]+ may be lost\."):
        lines_after(SaveReport(None, 0.0))


def test_accepts_a_local_aws_that_never_loaded_its_state() -> None:
    assert lines_after() == []


def test_check_before_the_start_does_nothing() -> None:
    SaveMonitor(Path("/state"), print).check()
