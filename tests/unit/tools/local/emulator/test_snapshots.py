import json
from pathlib import Path
from typing import Any

from tools.local.emulator.snapshots import SnapshotStore


class Aws:
    """The state of ministack's services. Reading or writing a service can be made to fail."""

    def __init__(self, folder: Path, **services: Any) -> None:
        self.live = folder / "tmp"
        self.services = services
        self.unreadable: set[str] = set()
        self.unwritable: set[str] = set()
        self.snapshots = SnapshotStore(folder / "aws", self.live, self._states, self._save)
        self.snapshots.restore()

    def saved(self) -> dict[str, Any]:
        return {file.stem: json.loads(file.read_text()) for file in self.live.glob("*.json")}

    def _states(self) -> Any:
        return {name: lambda name=name: self._state(name) for name in self.services}

    def _state(self, name: str) -> Any:
        if name in self.unreadable:
            raise RuntimeError("dictionary changed size during iteration")
        return self.services[name]

    def _save(self, name: str, state: Any) -> None:
        if name not in self.unwritable:
            (self.live / f"{name}.json").write_text(json.dumps(state))


def restarted(folder: Path) -> Aws:
    """Restarts after a kill, which loses the live folder."""
    live = folder / "tmp"
    for file in live.rglob("*.*"):
        file.unlink()
    for sub in sorted(live.rglob("*"), reverse=True):
        sub.rmdir()
    live.rmdir()
    return Aws(folder)


def snapshots_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "aws").iterdir())


def test_snapshot_survives_a_kill(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb={"items": 1}, kms={"keys": 2})
    assert aws.snapshots.take()

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
    assert restored.snapshots.take()
    assert restarted(tmp_path).saved() == {"dynamodb": 2}


def test_takes_no_snapshot_if_a_service_changes_meanwhile(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    aws.services |= {"dynamodb": 2, "kms": 2}
    aws.unreadable = {"kms"}

    assert not aws.snapshots.take()
    assert restarted(tmp_path).saved() == {"dynamodb": 1, "kms": 1}


def test_retries_after_a_service_could_not_be_written(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    aws.services |= {"dynamodb": 2, "kms": 2}
    aws.unwritable = {"kms"}

    assert not aws.snapshots.take()
    aws.unwritable = set()
    assert aws.snapshots.take()
    assert restarted(tmp_path).saved() == {"dynamodb": 2, "kms": 2}


def test_keeps_only_the_newest_snapshot(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1)
    for _ in range(3):
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
    aws.services["dynamodb"] = 2
    aws.unwritable = {"kms"}

    aws.snapshots.take()

    assert restarted(tmp_path).saved()["dynamodb"] == 1
