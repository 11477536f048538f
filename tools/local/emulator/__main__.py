"""Runs the local AWS: `python -m tools.local.emulator STATE` starts ministack on a loopback port and saves its state.

Runs in the emulator's virtual environment. ministack itself saves only on a clean stop, after it has waited for running
invocations. This module saves a complete snapshot at most five seconds after a change, and a last one on shutdown
before it kills any process.
"""

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.local import parent_watch
from tools.local.emulator import retention
from tools.local.emulator.request_guard import RequestGuard
from tools.local.emulator.snapshots import Services, SnapshotStore

SNAPSHOT_INTERVAL_S = 5.0
FINAL_SNAPSHOT_TIMEOUT_S = 6.0


def main() -> None:
    """Serves until a signal arrives or the parent process ends. ministack reads its options from the environment."""
    state = Path(sys.argv[1])
    # ministack never deletes the folders of its functions.
    shutil.rmtree(state / "tmp", ignore_errors=True)
    live = state / "tmp" / "aws"
    snapshots = SnapshotStore(state / "aws", live, _services, _save)
    snapshots.restore()
    os.environ |= {"STATE_DIR": str(live), "TMPDIR": str(state / "tmp"), "PERSIST_STATE": "1"}
    # Imported here because ministack reads the environment at import.
    from ministack.app import app

    # At INFO, ministack logs one line per service and snapshot.
    logging.getLogger("persistence").setLevel(logging.WARNING)
    guard = RequestGuard(app)
    _start_saving(snapshots, guard)
    asyncio.run(_serve(guard))


def _start_saving(snapshots: SnapshotStore, guard: RequestGuard) -> None:
    """Starts the snapshot thread, which a signal or the end of the parent process stops."""
    stopping = threading.Event()
    saver = threading.Thread(
        target=save_until_stopped, args=(snapshots, guard, stopping), name="snapshots", daemon=True
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())

    def save_and_wait() -> None:
        stopping.set()
        saver.join(FINAL_SNAPSHOT_TIMEOUT_S)

    parent_watch.start(save_and_wait)
    saver.start()


def save_until_stopped(snapshots: SnapshotStore, guard: RequestGuard, stopping: threading.Event) -> None:
    """Takes a snapshot after each change and a last one on shutdown, then kills this process group."""
    saved_changes = -1
    while not stopping.wait(SNAPSHOT_INTERVAL_S):
        changes = guard.changes
        if guard.loaded and changes != saved_changes and snapshots.take():
            saved_changes = changes
    deadline = time.monotonic() + FINAL_SNAPSHOT_TIMEOUT_S
    while guard.loaded and not snapshots.take() and time.monotonic() < deadline:
        time.sleep(0.05)
    parent_watch.kill_process_group()


def _services() -> Services:
    # ministack has no public function for this; its version is pinned.
    from ministack.app import _build_persistence_save_dict

    retention.delete_expired(datetime.now(UTC))
    return dict(_build_persistence_save_dict())


def _save(name: str, state: Any) -> None:
    from ministack.core.persistence import save_state

    save_state(name, state)


async def _serve(guard: RequestGuard) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = 75
    # The snapshot thread kills the process, so the server itself never shuts down.
    await serve(guard, config, shutdown_trigger=asyncio.Event().wait)


if __name__ == "__main__":
    main()
