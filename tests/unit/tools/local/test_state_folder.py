import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.local import state_folder
from tools.local.settings import REPOSITORY, UserError


def lock(folder: Path) -> int:
    async def once() -> int:
        async with state_folder.locked(folder, timeout_s=0.3) as descriptor:
            return descriptor

    return asyncio.run(once())


def test_writes_the_version_into_a_new_folder(tmp_path: Path) -> None:
    lock(tmp_path / "new")

    version = json.loads((tmp_path / "new" / "version.json").read_text())
    assert version["layout"] == state_folder.LAYOUT
    assert version["ministack"].count(".") == 2


def test_accepts_a_folder_of_the_same_version(tmp_path: Path) -> None:
    lock(tmp_path)
    (tmp_path / "aws").mkdir()

    lock(tmp_path)


@pytest.mark.parametrize("content", ['{"layout": 1, "ministack": "0.1"}', "{", None])
def test_rejects_another_version_and_names_make_reset(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "aws").mkdir()
    if content is not None:
        (tmp_path / "version.json").write_text(content)

    with pytest.raises(UserError, match=r"written by another version .* `make reset`"):
        lock(tmp_path)


def test_rejects_a_folder_in_use_after_the_timeout(tmp_path: Path) -> None:
    async def twice() -> None:
        async with state_folder.locked(tmp_path):
            await asyncio.sleep(0)
            async with state_folder.locked(tmp_path, timeout_s=0.3):
                pass

    with pytest.raises(UserError, match="is in use by another local system"):
        asyncio.run(twice())


def test_child_with_the_descriptor_holds_the_lock(tmp_path: Path) -> None:
    async def duplicate() -> int:
        async with state_folder.locked(tmp_path) as descriptor:
            return os.dup(descriptor)

    descriptor = asyncio.run(duplicate())
    try:
        with pytest.raises(UserError):
            lock(tmp_path)
    finally:
        os.close(descriptor)
    lock(tmp_path)


def test_unusable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match=r"^STATE .* cannot be used: Not a directory\. Choose another folder\.$"):
        lock(tmp_path / "file" / "state")


def test_reset_empties_a_folder_of_any_version(tmp_path: Path) -> None:
    lock(tmp_path)
    (tmp_path / "version.json").write_text("of another version")
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "tables.json").touch()
    (tmp_path / "elsewhere").symlink_to(tmp_path.parent)

    state_folder.reset(tmp_path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["lock"]
    assert tmp_path.parent.exists()
    lock(tmp_path)


def test_reset_creates_no_folder(tmp_path: Path) -> None:
    state_folder.reset(tmp_path / "state")

    assert not (tmp_path / "state").exists()


def test_reset_keeps_the_data_of_a_running_system(tmp_path: Path) -> None:
    async def while_it_runs() -> None:
        async with state_folder.locked(tmp_path):
            state_folder.reset(tmp_path)

    with pytest.raises(
        UserError, match=r"is in use by a running local system\. Nothing was deleted\. Stop the system first"
    ):
        asyncio.run(while_it_runs())
    assert (tmp_path / "version.json").exists()


def test_rejects_a_full_disk_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^The disk of .* has less than \d+ MB free, so .*\. Free space"):
        state_folder.check_space(tmp_path, bytes_needed=10**18)
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys
from pathlib import Path
from tools.local import state_folder
from tools.local.settings import REPOSITORY, UserError

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    state_folder.check_space(Path(sys.argv[1]))
except UserError as error:
    print(error)
"""


def test_rejects_a_disk_that_accepts_no_more_data(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert run.stdout.startswith(f"The disk of {tmp_path} has less than")
    assert list(tmp_path.iterdir()) == []
