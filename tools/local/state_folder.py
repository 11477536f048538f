"""The state folder: locks it for one local system at a time and rejects the data of other versions."""

import asyncio
import fcntl
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import IO

from tools.local.settings import UserError, emulator_packages

LAYOUT = 1
LOCK = "lock"
POLL_INTERVAL_S = 0.1
# The children of a killed system still save their state and hold the lock meanwhile.
LOCK_TIMEOUT_S = 6.0
# Each process of a function unpacks about 15 MB, and two snapshots exist while the newer one is written.
MIN_FREE_BYTES = 200_000_000
_PROBE_BYTES = 1_000_000


@asynccontextmanager
async def locked(folder: Path, timeout_s: float = LOCK_TIMEOUT_S) -> AsyncIterator[int]:
    """Yields the descriptor of the folder's lock; every process that has it open holds the lock.

    Raises UserError if the lock is held beyond the timeout or another version wrote the folder.
    """
    with _open_lock(folder) as lock:
        for _ in range(int(timeout_s / POLL_INTERVAL_S)):
            if _try_lock(lock.fileno()):
                break
            await asyncio.sleep(POLL_INTERVAL_S)
        else:
            raise UserError(
                f"{folder} is in use by another local system. Stop that one, or choose another folder: "
                "make dev STATE=FOLDER"
            )
        check_space(folder)
        _check_version(folder)
        yield lock.fileno()


def check_space(folder: Path, bytes_needed: int = MIN_FREE_BYTES) -> None:
    """Raises UserError if the folder's disk is nearly full, or accepts no more data because of a quota or limit."""
    probe = folder / "probe"
    try:
        free = shutil.disk_usage(folder).free
        probe.write_bytes(bytes(_PROBE_BYTES))
    except OSError:
        free = 0
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    if free < bytes_needed:
        raise UserError(
            f"The disk of {folder} has less than {bytes_needed // 1_000_000} MB free, so the local system could not "
            "save its data. Free space, or choose another folder: make dev STATE=FOLDER"
        )


def reset(folder: Path) -> None:
    """Empties the folder except for its lock. Raises UserError if a running system would write it again."""
    if not folder.exists():
        return
    with _open_lock(folder) as lock:
        if not _try_lock(lock.fileno()):
            raise UserError(
                f"{folder} is in use by a running local system. Nothing was deleted. Stop the system first."
            )
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != LOCK:
                entry.unlink()


def _open_lock(folder: Path) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / LOCK).open("w")
    except OSError as error:
        raise UserError(f"STATE {folder} cannot be used: {error.strerror}. Choose another folder.") from None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_version(folder: Path) -> None:
    expected = {"layout": LAYOUT, "ministack": _ministack_version()}
    file = folder / "version.json"
    if not file.exists() and not (folder / "aws").exists():
        file.write_text(json.dumps(expected))
    try:
        actual = json.loads(file.read_text())
    except (OSError, ValueError):
        actual = None
    if actual != expected:
        raise UserError(
            f"{folder} was written by another version of the local system and cannot be read. `make reset` empties it "
            "and deletes the registered providers and their history. Or choose another folder: make dev STATE=FOLDER"
        )


def _ministack_version() -> str:
    packages = emulator_packages()
    for distribution in distributions(name="ministack", path=[str(packages)]):
        return distribution.version
    raise UserError(f"The local AWS is not installed in {packages}. `make dev` installs it.")
