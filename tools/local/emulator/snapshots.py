"""Snapshots of the local AWS's state on disk. A kill at any moment leaves at least one complete snapshot."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Maps a service's name to a function that returns its state, or None if the service has not been used.
type Services = dict[str, Callable[[], Any]]

logger = logging.getLogger("snapshots")


class SnapshotStore:
    """Numbered folders, each with a complete state. A folder is renamed to its number only when it is complete."""

    def __init__(
        self, folder: Path, live: Path, services: Callable[[], Services], save: Callable[[str, Any], None]
    ) -> None:
        """`live` is ministack's own state folder; `save(name, state)` writes NAME.json into it."""
        self._folder = folder
        self._live = live
        self._services = services
        self._save = save
        self._incomplete = folder / "next"

    def restore(self) -> None:
        """Fills ministack's state folder from the newest snapshot.

        Hard links suffice, because ministack replaces files and never rewrites them.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._live.mkdir(parents=True)
        for newest in self._complete()[-1:]:
            shutil.copytree(newest, self._live, copy_function=os.link, dirs_exist_ok=True)

    def take(self) -> bool:
        """Writes a snapshot. Returns False if a service changed meanwhile or a write failed; the caller retries."""
        try:
            return self._write()
        except OSError:
            logger.exception("The snapshot failed")
            return False

    def _write(self) -> bool:
        if not all(self._save_service(name, read_state) for name, read_state in self._services().items()):
            return False
        shutil.rmtree(self._incomplete, ignore_errors=True)
        shutil.copytree(self._live, self._incomplete, copy_function=os.link)
        previous = self._complete()
        number = int(previous[-1].name) + 1 if previous else 1
        self._incomplete.rename(self._folder / f"{number:09d}")
        for folder in previous:
            shutil.rmtree(folder, ignore_errors=True)
        return True

    def _save_service(self, name: str, read_state: Callable[[], Any]) -> bool:
        try:
            state = read_state()
        except RuntimeError as error:
            # Python raises RuntimeError when a dict changes size while it is copied.
            logger.info("%s changed during the snapshot: %s", name, error)
            return False
        if state is None:
            return True
        file = self._live / f"{name}.json"
        file.unlink(missing_ok=True)
        # ministack logs a failed write instead of raising, so the file itself is checked.
        self._save(name, state)
        return file.exists()

    def _complete(self) -> list[Path]:
        return sorted(folder for folder in self._folder.glob("[0-9]*") if folder.is_dir())
