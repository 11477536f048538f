import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tools.local.emulator import Gate, Receive, Scope, Send, Snapshots


class Aws:
    """State by part, as ministack keeps it; a part may be one that cannot be read or written just now."""

    def __init__(self, folder: Path, **parts: Any) -> None:
        self.live = folder / "tmp"
        self.parts = parts
        self.unreadable: set[str] = set()
        self.unwritable: set[str] = set()
        self.snapshots = Snapshots(folder / "aws", self.live, self._states, self._save)
        self.snapshots.restore()

    def kept(self) -> dict[str, Any]:
        return {file.stem: json.loads(file.read_text()) for file in self.live.glob("*.json")}

    def _states(self) -> Any:
        return {name: lambda name=name: self._state(name) for name in self.parts}

    def _state(self, name: str) -> Any:
        if name in self.unreadable:
            raise RuntimeError("dictionary changed size during iteration")
        return self.parts[name]

    def _save(self, name: str, state: Any) -> None:
        if name not in self.unwritable:
            (self.live / f"{name}.json").write_text(json.dumps(state))


def restarted(folder: Path) -> Aws:
    """After a kill: what was in the live folder is gone."""
    live = folder / "tmp"
    for file in live.rglob("*.*"):
        file.unlink()
    for sub in sorted(live.rglob("*"), reverse=True):
        sub.rmdir()
    live.rmdir()
    return Aws(folder)


def snapshots_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "aws").iterdir())


def test_a_snapshot_survives_a_kill(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb={"items": 1}, kms={"keys": 2})
    assert aws.snapshots.take()

    assert restarted(tmp_path).kept() == {"dynamodb": {"items": 1}, "kms": {"keys": 2}}


def test_a_kill_in_the_middle_leaves_the_snapshot_before(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1)
    aws.snapshots.take()
    (tmp_path / "aws" / "next").mkdir()
    (tmp_path / "aws" / "next" / "dynamodb.json").write_text('{"half')
    (aws.live / "dynamodb.json").unlink()

    again = restarted(tmp_path)

    assert again.kept() == {"dynamodb": 1}
    again.parts["dynamodb"] = 2
    assert again.snapshots.take()
    assert restarted(tmp_path).kept() == {"dynamodb": 2}


def test_a_part_that_changes_under_the_hands_makes_no_half_snapshot(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    aws.parts |= {"dynamodb": 2, "kms": 2}
    aws.unreadable = {"kms"}

    assert not aws.snapshots.take()
    assert restarted(tmp_path).kept() == {"dynamodb": 1, "kms": 1}


def test_a_part_that_cannot_be_written_makes_no_snapshot_but_the_next_may(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    aws.parts |= {"dynamodb": 2, "kms": 2}
    aws.unwritable = {"kms"}

    assert not aws.snapshots.take()
    aws.unwritable = set()
    assert aws.snapshots.take()
    assert restarted(tmp_path).kept() == {"dynamodb": 2, "kms": 2}


def test_only_the_newest_snapshot_is_left(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1)
    for _ in range(3):
        aws.snapshots.take()

    assert snapshots_in(tmp_path) == ["000000003"]


def test_parts_and_files_that_this_run_has_not_used_are_kept(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1)
    (aws.live / "lambda-blobs").mkdir()
    (aws.live / "lambda-blobs" / "code.zip").write_bytes(b"code")
    aws.snapshots.take()

    again = restarted(tmp_path)
    again.parts = {"kms": 1, "dynamodb": None}
    again.snapshots.take()

    last = restarted(tmp_path)
    assert last.kept() == {"dynamodb": 1, "kms": 1}
    assert (last.live / "lambda-blobs" / "code.zip").read_bytes() == b"code"


def test_a_later_write_does_not_reach_into_the_snapshot(tmp_path: Path) -> None:
    aws = Aws(tmp_path, dynamodb=1, kms=1)
    aws.snapshots.take()
    aws.parts["dynamodb"] = 2
    aws.unwritable = {"kms"}

    aws.snapshots.take()

    assert restarted(tmp_path).kept()["dynamodb"] == 1


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})


LOCAL = "127.0.0.1:4566"


def ask(gate: Gate, method: str = "POST", *, host: str = LOCAL, **headers: str) -> int:
    """The status of the answer."""
    headers["host"] = host
    names = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return int(sent_for(gate, {"type": "http", "method": method, "headers": list(names.items())})[0]["status"])


def sent_for(gate: Gate, scope: Scope) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    asyncio.run(gate(scope, receive, send))
    return sent


def test_web_pages_are_kept_out() -> None:
    gate = Gate(answering)

    assert ask(gate, origin="http://localhost:3000") == 403
    assert ask(gate, origin="null", sec_fetch_site="same-origin") == 403
    assert ask(gate, "GET", sec_fetch_site="cross-site") == 403
    assert ask(gate, "GET", sec_fetch_site="same-site") == 403
    assert ask(gate, host="rebound.evil.example:4566") == 403
    assert gate.changes == 0


@pytest.mark.parametrize(
    "host", [LOCAL, "localhost:4566", "[::1]:4566", "172.17.0.1:4566", "host.docker.internal:4566", "b.s3.localhost:1"]
)
def test_programs_are_let_in_by_every_name_that_they_use(host: str) -> None:
    assert ask(Gate(answering), host=host) == 200


def test_a_developer_may_look_at_it_in_the_browser() -> None:
    assert ask(Gate(answering), "GET", sec_fetch_site="none") == 200


def test_a_web_socket_of_a_page_is_closed() -> None:
    sent = sent_for(Gate(answering), {"type": "websocket", "headers": [(b"host", b"localhost"), (b"origin", b"null")]})

    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_pages_headers_reach_the_function_behind_the_front() -> None:
    seen: list[Scope] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await answering(scope, receive, send)

    assert ask(Gate(noting), x_front_origin="https://chat.example.com") == 200
    assert dict(seen[0]["headers"])[b"origin"] == b"https://chat.example.com"


def test_only_what_may_change_something_counts_as_a_change() -> None:
    gate = Gate(answering)

    ask(gate, "GET")
    ask(gate, x_amz_target="DynamoDB_20120810.GetItem")
    ask(gate, x_amz_target="Logs_20140328.FilterLogEvents")
    assert gate.changes == 0

    ask(gate, x_amz_target="DynamoDB_20120810.PutItem")
    ask(gate, "PUT")
    ask(gate, "POST")
    assert gate.changes == 3


def test_nothing_is_to_be_saved_before_the_state_is_loaded() -> None:
    gate = Gate(answering)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    before = gate.loaded
    asyncio.run(gate({"type": "lifespan"}, receive, send))

    assert (before, gate.loaded) == (False, True)
    assert sent == [{"type": "lifespan.startup.complete"}]
