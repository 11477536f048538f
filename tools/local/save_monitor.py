"""Receives the results of the local AWS's snapshots: shows when saving fails or works again."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from tools.local.emulator.saver import SaveReport
from tools.local.settings import UserError

_READ_SIZE = 64 * 1024


class SaveMonitor:
    """Reads the reports of one local AWS, see SaveReport in emulator/saver.py. `print_line` gets a line per change."""

    def __init__(self, state: Path, print_line: Callable[[str], None]) -> None:
        self._state = state
        self._print_line = print_line
        self._read_end: int | None = None
        self._write_end: int | None = None
        self._buffer = b""
        self._last: SaveReport | None = None

    def open(self) -> int:
        """Starts reading in the running event loop. Returns the descriptor for the local AWS."""
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        asyncio.get_running_loop().add_reader(self._read_end, self._read, self._read_end)
        return self._write_end

    @property
    def failure(self) -> str | None:
        """The reason if the last snapshot failed."""
        return None if self._last is None else self._last.failure

    def check(self) -> None:
        """Stops reading after the local AWS has stopped. Raises UserError if its last changes were not saved."""
        if self._read_end is None or self._write_end is None:
            return
        self._read(self._read_end)
        asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)
        os.close(self._write_end)
        # Without any report the local AWS had accepted no request, so nothing could change.
        if self._last is None:
            return
        if self.failure is not None:
            raise UserError(
                f"The changes since {_time(self._last)} were not saved in {self._state}: {self.failure}. "
                "Free space on its disk, start again, and repeat these changes."
            )
        if not self._last.final:
            raise UserError(
                f"The local AWS ended before its last snapshot. The changes since {_time(self._last)} may be lost. "
                "Start again and check your providers."
            )

    def _read(self, descriptor: int) -> None:
        with suppress(BlockingIOError):
            while data := os.read(descriptor, _READ_SIZE):
                self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._receive(SaveReport(**json.loads(line)))

    def _receive(self, report: SaveReport) -> None:
        failed_before, self._last = self.failure is not None, report
        # The end of a run has its own message.
        if report.final:
            return
        if report.failure:
            self._print_line(
                f"WARNING Nothing is saved in {self._state} since {_time(report)}: {report.failure}. "
                "Free space on its disk. Changes of providers are refused until a snapshot succeeds."
            )
        elif failed_before:
            self._print_line(f"Everything is saved in {self._state} again.")


def _time(report: SaveReport) -> str:
    return f"{datetime.fromtimestamp(report.saved_until).astimezone():%H:%M:%S}"
