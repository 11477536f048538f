"""The local AWS: ministack on a loopback port, with a state that survives. Runs in the emulator's own environment.

ministack saves only when it stops cleanly, and then waits for invocations to end first. Here every five seconds in
which something changed leave a whole snapshot behind, and a stop takes the last one before anything is killed.
"""

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.local import browser_guard, housekeeping, lifeline

SNAPSHOT_EVERY_S = 5.0
LAST_SNAPSHOT_WITHIN_S = 6.0
READS = ("Get", "List", "Describe", "BatchGet", "Query", "Scan", "Filter", "Assume")

_PROXIED = {alias.encode(): name.encode() for name, alias in browser_guard.PROXIED.items()}

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Any]]
type Send = Callable[[Any], Awaitable[None]]
type Parts = dict[str, Callable[[], Any]]
type Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("snapshots")


class Gate:
    """Keeps web pages out, and counts the requests that may have changed something."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self.changes = 0
        self.loaded = False  # before that there is less in memory than in the newest snapshot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._noting_start(send))
            return
        given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope.get("headers", ())]
        if reason := browser_guard.refusal(given):  # ministack would let any page read and reset it
            await _refuse(scope, send, f"The local AWS {reason}.\n")
            return
        scope["headers"] = [(_PROXIED.get(name, name), value) for name, value in scope.get("headers", ())]
        headers = dict(scope["headers"])
        action = headers.get(b"x-amz-target", b"").decode("latin-1").rpartition(".")[2]
        if scope.get("method") != "GET" and not action.startswith(READS):
            self.changes += 1
        await self._app(scope, receive, send)

    def _noting_start(self, send: Send) -> Send:
        async def noting(message: Any) -> None:
            self.loaded = self.loaded or message["type"] == "lifespan.startup.complete"
            await send(message)

        return noting


async def _refuse(scope: Scope, send: Send, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})


class Snapshots:
    """Numbered folders, each a whole state. A folder gets its number last, so a kill leaves the previous one."""

    def __init__(self, folder: Path, live: Path, parts: Callable[[], Parts], save: Callable[[str, Any], None]) -> None:
        """`parts` gives what to keep, by name; `save` writes one as NAME.json into `live`."""
        self._folder = folder
        self._live = live
        self._parts = parts
        self._save = save
        self._next = folder / "next"

    def restore(self) -> None:
        """Make the newest snapshot ministack's own state folder. Links suffice: ministack replaces, never rewrites."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._live.mkdir(parents=True)
        for newest in self._numbered()[-1:]:
            shutil.copytree(newest, self._live, copy_function=os.link, dirs_exist_ok=True)

    def take(self) -> bool:
        """False, and no snapshot, if a part changed while it was read or could not be written: try again."""
        try:
            return self._taken()
        except OSError:
            logger.exception("No snapshot")
            return False

    def _taken(self) -> bool:
        if not all(self._saved(name, part) for name, part in self._parts().items()):
            return False
        shutil.rmtree(self._next, ignore_errors=True)
        shutil.copytree(self._live, self._next, copy_function=os.link)
        before = self._numbered()
        number = int(before[-1].name) + 1 if before else 1
        self._next.rename(self._folder / f"{number:09d}")
        for old in before:
            shutil.rmtree(old, ignore_errors=True)
        return True

    def _saved(self, name: str, part: Callable[[], Any]) -> bool:
        try:
            state = part()
        except RuntimeError as error:  # a dict changed size while it was copied
            logger.info("%s changed during the snapshot: %s", name, error)
            return False
        if state is None:
            return True
        file = self._live / f"{name}.json"
        file.unlink(missing_ok=True)
        self._save(name, state)  # ministack's logs where others raise
        return file.exists()

    def _numbered(self) -> list[Path]:
        return sorted(folder for folder in self._folder.glob("[0-9]*") if folder.is_dir())


def keep(snapshots: Snapshots, gate: Gate, stopping: threading.Event) -> None:
    """Take a snapshot whenever something changed, one more when stopping, then end everything that belongs to us."""
    kept = -1
    while not stopping.wait(SNAPSHOT_EVERY_S):
        changes = gate.changes
        if gate.loaded and changes != kept and snapshots.take():
            kept = changes
    give_up = time.monotonic() + LAST_SNAPSHOT_WITHIN_S
    while gate.loaded and not snapshots.take() and time.monotonic() < give_up:
        time.sleep(0.05)
    lifeline.end()


def main() -> None:
    """`python -m tools.local.emulator STATE`; ports and options come in ministack's own environment variables."""
    state = Path(sys.argv[1])
    shutil.rmtree(state / "tmp", ignore_errors=True)  # ministack leaves the folders of its functions behind
    live = state / "tmp" / "aws"
    snapshots = Snapshots(state / "aws", live, _parts, _save)
    snapshots.restore()
    os.environ |= {"STATE_DIR": str(live), "TMPDIR": str(state / "tmp"), "PERSIST_STATE": "1"}
    from ministack.app import app  # reads the environment when it is imported

    logging.getLogger("persistence").setLevel(logging.WARNING)  # else a line per service and snapshot

    gate, stopping = Gate(app), threading.Event()
    keeper = threading.Thread(target=keep, args=(snapshots, gate, stopping), name="snapshots", daemon=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())

    def at_end() -> None:
        stopping.set()
        keeper.join(LAST_SNAPSHOT_WITHIN_S)

    lifeline.hold(at_end)
    keeper.start()
    asyncio.run(_serve(gate))


def _parts() -> Parts:
    from ministack.app import _build_persistence_save_dict  # pinned; there is no public name for it

    housekeeping.forget_old(datetime.now(UTC))
    return dict(_build_persistence_save_dict())


def _save(name: str, state: Any) -> None:
    from ministack.core.persistence import save_state

    save_state(name, state)


async def _serve(gate: Gate) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = 75
    await serve(gate, config, shutdown_trigger=asyncio.Event().wait)  # the keeper ends us


if __name__ == "__main__":
    main()
