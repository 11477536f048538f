import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.local.emulator.snapshots import SnapshotError, SnapshotStore
from tools.local.settings import REPOSITORY

ENOSPC_TEXT = "No space left on device"


class Aws:
    """The state of ministack's services. Reading or writing a service can be made to fail."""

    def __init__(self, folder: Path, **services: Any) -> None:
        self.live = folder / "tmp"
        self.services = services
        self.failing_reads: dict[str, int] = {}
        self.snapshots = SnapshotStore(
            folder / "aws", self.live, self._states, lambda _, state: json.dumps(state).encode()
        )
        self.snapshots.restore()

    def saved(self) -> dict[str, Any]:
        return {file.stem: json.loads(file.read_text()) for file in self.live.glob("*.json")}

    def _states(self) -> Any:
        return {name: lambda name=name: self._state(name) for name in self.services}

    def _state(self, name: str) -> Any:
        if self.failing_reads.get(name, 0) > 0:
            self.failing_reads[name] -= 1
            raise RuntimeError("dictionary changed size during iteration")
        return self.services[name]

    def fill_disk(self, name: str) -> None:
        """Makes the file of a service unwritable."""
        (self.live / f"{name}.json.tmp").mkdir()

    def free_disk(self, name: str) -> None:
        (self.live / f"{name}.json.tmp").rmdir()


def restarted(folder: Path) -> Aws:
    """Restarts after a kill, which loses the live folder."""
    live = folder / "tmp"
    shutil.rmtree(live)
    return Aws(folder)


def snapshots_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "aws").iterdir())


def test_snapshot_survives_a_kill(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb={"items": 1}, kms={"keys": 2})
    aws.snapshots.take()

    assert restarted(tmp_path).saved() == {"dynamodb": {"items": 1}, "kms": {"keys": 2}}


def test_kill_during_a_snapshot_keeps_the_previous_one(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1)
    aws.snapshots.take()
    (tmp_path / "aws" / "next").mkdir()
    (tmp_path / "aws" / "next" / "dynamodb.json").write_text('{"half')
    (aws.live / "dynamodb.json").unlink()

    restored = restarted(tmp_path)

    assert restored.saved() == {"dynamodb": 1}
    restored.services["dynamodb"] = 2
    restored.snapshots.take()
    assert restarted(tmp_path).saved() == {"dynamodb": 2}


def test_kill_before_the_previous_snapshot_is_deleted_restores_the_newest(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1)
    aws.snapshots.take()
    previous = shutil.copytree(tmp_path / "aws" / "000000001", tmp_path / "previous")
    aws.services["dynamodb"] = 2
    aws.snapshots.take()
    previous.rename(tmp_path / "aws" / "000000001")

    assert restarted(tmp_path).saved() == {"dynamodb": 2}


def test_retries_at_once_if_a_service_changes_meanwhile(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    aws.services |= {"dynamodb": 2, "kms": 2}
    aws.failing_reads = {"kms": 20}

    aws.snapshots.take()

    assert restarted(tmp_path).saved() == {"dynamodb": 2, "kms": 2}


def test_takes_no_snapshot_if_a_service_cannot_be_read(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    aws.services |= {"dynamodb": 2, "kms": 2}
    aws.failing_reads = {"kms": 1_000_000}

    with pytest.raises(SnapshotError, match=r"^kms cannot be read \(dictionary changed size during iteration\)$"):
        aws.snapshots.take()
    assert restarted(tmp_path).saved() == {"dynamodb": 1, "kms": 1}


def test_retries_after_a_service_could_not_be_written(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    aws.services |= {"dynamodb": 2, "kms": 2}
    aws.fill_disk("kms")

    with pytest.raises(SnapshotError, match=r"^Is a directory$"):
        aws.snapshots.take()
    aws.free_disk("kms")
    aws.snapshots.take()
    assert restarted(tmp_path).saved() == {"dynamodb": 2, "kms": 2}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, ENOSPC_TEXT, "/live/kms.json", None, "/next/kms.json"), ENOSPC_TEXT),
        (shutil.SpecialFileError("`/live/kms.json` is a named pipe"), "a file cannot be linked"),
    ],
)
def test_reports_the_reason_without_paths_if_files_cannot_be_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    (aws.live / "lambda-blobs").mkdir()
    (aws.live / "lambda-blobs" / "code.zip").write_bytes(b"code")

    def link(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "link", link)

    with pytest.raises(SnapshotError, match=rf"^{reason}$"):
        aws.snapshots.take()


COPIED_UNDER_WRITES = """
import copy, threading, time
from tools.local.emulator.snapshots import _read

items = {str(number): {"n": [number]} for number in range(30_000)}
stopping = threading.Event()

def write():
    number = 0
    while not stopping.is_set():
        items[f"new-{number % 5000}"] = {}
        items.pop(f"new-{(number - 7) % 5000}", None)
        number += 1
        time.sleep(0.0001)

writers = [threading.Thread(target=write) for _ in range(10)]
for writer in writers:
    writer.start()
print(len(_read("dynamodb", lambda: copy.deepcopy(items))) >= 30_000)
stopping.set()
"""


def test_copies_a_large_service_under_ten_writers() -> None:
    # In a separate process, because the interpreter's switch interval is global.
    run = subprocess.run(
        [sys.executable, "-c", COPIED_UNDER_WRITES], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert (run.stdout, run.stderr) == ("True\n", "")


def test_keeps_only_the_newest_snapshot(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1)
    for number in range(3):
        aws.services["dynamodb"] = number
        aws.snapshots.take()

    assert snapshots_in(tmp_path) == ["000000003"]


def test_keeps_services_and_files_that_this_run_did_not_use(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1)
    (aws.live / "lambda-blobs").mkdir()
    (aws.live / "lambda-blobs" / "code.zip").write_bytes(b"code")
    aws.snapshots.take()

    restored = restarted(tmp_path)
    restored.services = {"kms": 1, "dynamodb": None}
    restored.snapshots.take()

    last = restarted(tmp_path)
    assert last.saved() == {"dynamodb": 1, "kms": 1}
    assert (last.live / "lambda-blobs" / "code.zip").read_bytes() == b"code"


def test_later_writes_do_not_change_a_snapshot(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    aws.services |= {"dynamodb": 2, "kms": 2}
    aws.fill_disk("kms")

    with pytest.raises(SnapshotError):
        aws.snapshots.take()

    assert restarted(tmp_path).saved()["dynamodb"] == 1


def test_flushes_every_file_before_it_deletes_the_previous_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    flushed: dict[int, list[str]] = {}
    flush = os.fsync

    def record(descriptor: int) -> None:
        flushed.setdefault(os.fstat(descriptor).st_ino, snapshots_in(tmp_path))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    aws.services["dynamodb"] = 2
    aws.snapshots.take()

    newest = tmp_path / "aws" / "000000002"
    for path in (newest, newest / "dynamodb.json", newest / "kms.json"):
        assert "000000001" in flushed[path.stat().st_ino]
    assert snapshots_in(tmp_path) == ["000000002"]


def test_writes_an_unchanged_service_once(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    written = (aws.live / "kms.json").stat().st_mtime_ns
    aws.services["dynamodb"] = 2

    aws.snapshots.take()

    assert (aws.live / "kms.json").stat().st_mtime_ns == written
    assert restarted(tmp_path).saved() == {"dynamodb": 2, "kms": 1}
