"""Runs the local AWS: `python -m tools.local.emulator STATE REPORTS` starts ministack and saves its state.

REPORTS is the descriptor of a pipe for the results of the snapshots. Runs in the emulator's virtual environment.
ministack itself saves only on a clean stop, after it has waited for running invocations. This module completes a
snapshot at most five seconds after a change, and a last one on shutdown before it kills any process.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.local import parent_watch
from tools.local.emulator import function_pool, policy_match, retention, unpacked_code
from tools.local.emulator.request_guard import RequestGuard
from tools.local.emulator.saver import Saver, pipe_reporter, report_loaded
from tools.local.emulator.snapshots import Services, SnapshotStore

FINAL_SNAPSHOT_TIMEOUT_S = 6.0
SWITCH_INTERVAL_S = 0.0005


def main() -> None:
    """Serves until a signal arrives or the parent process ends. ministack reads its options from the environment."""
    state = Path(sys.argv[1])
    # ministack never deletes the folders of its functions.
    shutil.rmtree(state / "tmp", ignore_errors=True)
    live = state / "tmp" / "aws"
    snapshots = SnapshotStore(state / "aws", live, _services, _encode)
    snapshots.restore()
    os.environ |= {"STATE_DIR": str(live), "TMPDIR": str(state / "tmp"), "PERSIST_STATE": "1"}
    # Imported here because ministack reads the environment at import.
    from ministack.app import app

    # At INFO, ministack logs one line per service and snapshot.
    logging.getLogger("persistence").setLevel(logging.WARNING)
    function_pool.install()
    policy_match.install()
    unpacked_code.install(state / "tmp" / "unpacked")
    # The event loop releases the GIL at each read and write. While a snapshot computes, it waits up to this interval to
    # get the GIL back.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    report = pipe_reporter(int(sys.argv[2]))
    guard = RequestGuard(app, lambda: report_loaded(report))
    _start_saving(Saver(snapshots, guard, report))
    asyncio.run(_serve(guard))


def _start_saving(saver: Saver) -> None:
    """Starts the snapshot thread, which a signal or the end of the parent process stops."""
    stopping = threading.Event()

    def save_until_stopped() -> None:
        saver.run(stopping)
        parent_watch.kill_process_group()

    thread = threading.Thread(target=save_until_stopped, name="snapshots", daemon=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())

    def save_and_wait() -> None:
        stopping.set()
        thread.join(FINAL_SNAPSHOT_TIMEOUT_S)

    parent_watch.start(save_and_wait)
    thread.start()


def _services() -> Services:
    # ministack has no public function for this; its version is pinned.
    from ministack.app import _build_persistence_save_dict

    retention.delete_expired(datetime.now(UTC))
    return dict(_build_persistence_save_dict())


def _encode(name: str, state: Any) -> bytes:
    """Returns a state file in ministack's format. ministack's own function writes it but hides that a disk is full."""
    from ministack.core import persistence

    version = persistence._state_format_version(name)  # noqa: SLF001
    document = {"__ministack_format__": version, "payload": state}
    return json.dumps(document, default=persistence._json_default).encode()  # noqa: SLF001


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
