"""Snapshots of the local AWS's state on disk. A kill at any moment leaves at least one complete snapshot."""

import hashlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Maps a service's name to a function that returns its state, or None if the service has not been used.
type Services = dict[str, Callable[[], Any]]

# A copy of a large state takes less than this.
_UNINTERRUPTED_S = 2.0
_MAX_READS = 100

logger = logging.getLogger("snapshots")


class SnapshotError(Exception):
    """A snapshot could not be written. The message is the reason, without a full stop."""


class SnapshotStore:
    """Numbered folders, each with a complete state. A folder is renamed to its number only when it is complete."""

    def __init__(
        self, folder: Path, live: Path, services: Callable[[], Services], encode: Callable[[str, Any], bytes]
    ) -> None:
        """`live` is ministack's own state folder; `encode(name, state)` returns the content of NAME.json."""
        self._folder = folder
        self._live = live
        self._services = services
        self._encode = encode
        self._incomplete = folder / "next"
        # The digests of the files of this run, so that a service that did not change is not written again.
        self._digests: dict[str, bytes] = {}

    def restore(self) -> None:
        """Fills ministack's state folder from the newest snapshot.

        Hard links suffice, because ministack replaces files and never rewrites them.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._live.mkdir(parents=True)
        for newest in self._complete()[-1:]:
            shutil.copytree(newest, self._live, copy_function=os.link, dirs_exist_ok=True)

    def take(self) -> None:
        """Writes a snapshot, flushes it to the disk and deletes the previous ones.

        Raises SnapshotError if the disk is full or a service cannot be read. The previous snapshot then remains.
        """
        try:
            for name, read_state in self._services().items():
                state = _read(name, read_state)
                if state is not None:
                    self._write(name, self._encode(name, state))
            self._complete_snapshot()
        except OSError as error:
            raise SnapshotError(_reason(error)) from error

    def _write(self, name: str, content: bytes) -> None:
        digest = hashlib.blake2b(content).digest()
        if self._digests.get(name) == digest:
            return
        file = self._live / f"{name}.json"
        incomplete = self._live / f"{name}.json.tmp"
        try:
            incomplete.write_bytes(content)
            incomplete.replace(file)
        except OSError:
            # Frees the space of the incomplete file.
            if incomplete.is_file():
                incomplete.unlink()
            raise
        self._digests[name] = digest

    def _complete_snapshot(self) -> None:
        shutil.rmtree(self._incomplete, ignore_errors=True)
        shutil.copytree(self._live, self._incomplete, copy_function=os.link)
        # A power failure must not leave an empty file in the only snapshot.
        for path in (self._incomplete, *self._incomplete.rglob("*")):
            _flush(path)
        previous = self._complete()
        number = int(previous[-1].name) + 1 if previous else 1
        self._incomplete.rename(self._folder / f"{number:09d}")
        _flush(self._folder)
        for folder in previous:
            shutil.rmtree(folder, ignore_errors=True)

    def _complete(self) -> list[Path]:
        return sorted(folder for folder in self._folder.glob("[0-9]*") if folder.is_dir())


def _read(name: str, read_state: Callable[[], Any]) -> Any:
    """Returns a copy of a service's state. Raises SnapshotError if every copy was interrupted by a change."""
    try:
        return read_state()
    except RuntimeError as error:
        logger.info("%s changed during the snapshot: %s", name, error)
    # Python raises RuntimeError when a dict changes size while it is copied. Under constant writes every copy fails
    # unless the other threads wait for it.
    with _other_threads_wait():
        for _ in range(_MAX_READS):
            try:
                return read_state()
            except RuntimeError as error:
                reason = str(error)
    raise SnapshotError(f"{name} cannot be read ({reason})")


def _reason(error: OSError) -> str:
    """Returns the system's text of an error, without paths."""
    if isinstance(error, shutil.Error):
        # copytree raises a list of (source, target, text) for all files. Each text is "[Errno NUMBER] …".
        [(_, _, text), *_] = error.args[0]
        if number := re.match(r"\[Errno (\d+)\]", text):
            return os.strerror(int(number[1]))
        return "a file cannot be linked"
    return error.strerror or str(error)


@contextmanager
def _other_threads_wait() -> Iterator[None]:
    """Prevents a switch to another thread while this thread computes. I/O of this thread still switches."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_UNINTERRUPTED_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
