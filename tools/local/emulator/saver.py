"""Takes snapshots of the local AWS while it runs and when it stops, and reports whether they succeed."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

from tools.local.emulator.request_guard import RequestGuard
from tools.local.emulator.snapshots import SnapshotError, SnapshotStore

# A change waits for the running snapshot, a pause and the next snapshot. Together they must take less than five
# seconds, so the pause after a long snapshot is shorter.
_LOSS_LIMIT_S = 4.5
_MAX_PAUSE_S = 2.0
_MIN_PAUSE_S = 0.1
# Space rarely becomes free while the system stops.
_FINAL_ATTEMPTS_S = 1.0
_FINAL_PAUSE_S = 0.2

logger = logging.getLogger("snapshots")


@dataclass(frozen=True)
class SaveReport:
    """The result of a snapshot. `failure` is the reason if it failed, `saved_until` the start of the last success.

    The first report of a run comes before its first change, and `final` marks its last one. Times are in seconds since
    the epoch.
    """

    failure: str | None
    saved_until: float
    final: bool = False


type Report = Callable[[SaveReport], None]


def pipe_reporter(descriptor: int) -> Report:
    """Returns a function that writes each report as a line of JSON to a pipe, whose reader may have ended."""

    def report(result: SaveReport) -> None:
        with suppress(OSError):
            os.write(descriptor, json.dumps(asdict(result)).encode() + b"\n")

    return report


def report_loaded(report: Report) -> None:
    """Reports that everything is saved, when the local AWS has loaded its state and nothing has changed yet."""
    report(SaveReport(None, time.time()))


class Saver:
    """Saves the changes that `guard` counts. Reports when saving fails or works again, and the last result."""

    def __init__(self, snapshots: SnapshotStore, guard: RequestGuard, report: Report) -> None:
        self._snapshots = snapshots
        self._guard = guard
        self._report = report
        self._saved_changes = -1
        self._saved_until = time.time()
        self._last_failure: str | None = None

    def run(self, stopping: threading.Event) -> None:
        """Takes a snapshot after each change until `stopping` is set, and then a last one."""
        duration_s = 0.0
        while not stopping.wait(pause_after(duration_s)):
            started = time.monotonic()
            if self._guard.loaded and self._guard.changes != self._saved_changes:
                self._save()
            duration_s = time.monotonic() - started
        if self._guard.loaded:
            self._save_at_stop()

    def _save_at_stop(self) -> None:
        deadline = time.monotonic() + _FINAL_ATTEMPTS_S
        failure = self._take()
        while failure is not None and time.monotonic() < deadline:
            time.sleep(_FINAL_PAUSE_S)
            failure = self._take()
        self._report(SaveReport(failure, self._saved_until, final=True))

    def _save(self) -> None:
        failure = self._take()
        if failure != self._last_failure:
            self._report(SaveReport(failure, self._saved_until))
        self._last_failure = failure

    def _take(self) -> str | None:
        """Takes a snapshot. Returns the reason if it failed, else None."""
        # Read first: a change during the snapshot may be missing from it.
        changes, now = self._guard.changes, time.time()
        try:
            self._snapshots.take()
        except SnapshotError as error:
            return str(error)
        except Exception as error:
            # The thread must continue, because only it saves changes and reports failures.
            logger.exception("The snapshot failed")
            return f"the local AWS raised {type(error).__name__}"
        self._saved_changes, self._saved_until = changes, now
        return None


def pause_after(duration_s: float) -> float:
    """Returns the pause in seconds after a snapshot that took `duration_s`."""
    return min(max(_LOSS_LIMIT_S - 2 * duration_s, _MIN_PAUSE_S), _MAX_PAUSE_S)
