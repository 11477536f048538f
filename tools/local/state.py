"""The state folder: one system at a time uses it, and only one that understands it."""

import asyncio
import fcntl
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import IO

from tools.local.settings import LocalError, emulator_packages

LAYOUT = 1
LOCK = "lock"
LOOK_EVERY_S = 0.1
WAIT_S = 6.0  # for the children of a system that was killed to save and go


@asynccontextmanager
async def claimed(state: Path, wait_s: float = WAIT_S) -> AsyncIterator[int]:
    """The descriptor of the lock on the folder; whoever has it open holds the lock."""
    with _lock_file(state) as lock:
        for _ in range(int(wait_s / LOOK_EVERY_S)):
            if _locked(lock.fileno()):
                break
            await asyncio.sleep(LOOK_EVERY_S)
        else:
            raise LocalError(
                f"{state} is in use by another local system: stop that one, or choose another folder: make dev STATE=…"
            )
        _check_version(state)
        yield lock.fileno()


def reset(state: Path) -> None:
    """Empties the folder but for its lock. Raises LocalError while a system uses it, which would write it anew."""
    if not state.exists():
        return
    with _lock_file(state) as lock:
        if not _locked(lock.fileno()):
            raise LocalError(f"{state} is in use by a local system, and nothing was deleted: stop that one first.")
        for entry in state.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != LOCK:
                entry.unlink()


def _lock_file(state: Path) -> IO[str]:
    try:
        state.mkdir(parents=True, exist_ok=True)
        return (state / LOCK).open("w")
    except OSError as error:
        raise LocalError(f"STATE {state} cannot be used: {error.strerror}.") from None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_version(state: Path) -> None:
    present = {"layout": LAYOUT, "ministack": _ministack()}
    file = state / "version.json"
    if not file.exists() and not (state / "aws").exists():
        file.write_text(json.dumps(present))
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        found = None
    if found != present:
        raise LocalError(
            f"{state} was left by another version of the local system and cannot be read: `make reset` empties it "
            "(registered providers and their history go), or choose another folder: make dev STATE=…"
        )


def _ministack() -> str:
    packages = emulator_packages()
    for found in distributions(name="ministack", path=[str(packages)]):
        return found.version
    raise LocalError(f"The local AWS is not installed in {packages}: `make dev` does that.")
