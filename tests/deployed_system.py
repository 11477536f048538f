"""Runs a local system whose stack is deployed already, for tests of everything but the first start."""

import fcntl
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.local_system import LocalSystem
from tools.local.settings import REPOSITORY
from tools.local.stack import source_files

STATES = REPOSITORY / ".local" / "deployed"
# In a state without providers, every loopback URL is one of the local AWS.
LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|localhost)):\d+")


class DeployedSystem(LocalSystem):
    """Starts on a copy of a deployed state, unless its state folder exists. This saves most of a first start's time.

    The systems of all tests have the same tokens and physical names. The template's parameters have their local
    defaults. A system with other PARAMETERS would deploy again, so it gains nothing.
    """

    def start(self) -> Self:
        if not self.state.exists():
            copy_state(self.state, self.aws_port)
        return super().start()


def copy_state(target: Path, aws_port: int) -> None:
    """Copies the deployed state of the current sources for a system with this port. The first call deploys them."""
    STATES.mkdir(parents=True, exist_ok=True)
    with (STATES / "lock").open("w") as lock:
        # Held while copying, because the test processes of a run share the states.
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = STATES / _key()
        if not state.exists():
            _make(state)
        shutil.copytree(state, target, ignore=shutil.ignore_patterns("lock", "logs", "tmp"))
    for file in target.glob("aws/*/*.json"):
        text = file.read_text()
        moved = LOOPBACK.sub(rf"\g<1>:{aws_port}", text)
        if moved != text:
            file.write_text(moved)


def _make(state: Path) -> None:
    """Deploys once, and replaces the states of older sources."""
    for folder in STATES.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    incomplete = STATES / "new"
    with LocalSystem(incomplete, environ={"TOKENHUB": "off", "PARAMETERS": ""}) as system:
        assert system.stop() == 0
    incomplete.rename(state)


def _key() -> str:
    """Returns a hash of the files that determine a deployed state."""
    digest = hashlib.sha256()
    for file in _inputs():
        digest.update(f"{file.relative_to(REPOSITORY)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _inputs() -> Iterator[Path]:
    yield from source_files(REPOSITORY)
    yield from sorted((REPOSITORY / "tools/local").rglob("*.py"))
    yield from sorted((REPOSITORY / "requirements").glob("*.txt"))
