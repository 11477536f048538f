import asyncio
import json
import os
from pathlib import Path

import pytest

from tools.local import state
from tools.local.settings import LocalError


def claim(folder: Path) -> int:
    async def once() -> int:
        async with state.claimed(folder, wait_s=0.3) as descriptor:
            return descriptor

    return asyncio.run(once())


def test_a_new_folder_is_marked_with_its_version(tmp_path: Path) -> None:
    claim(tmp_path / "new")

    version = json.loads((tmp_path / "new" / "version.json").read_text())
    assert version["layout"] == state.LAYOUT
    assert version["ministack"].count(".") == 2


def test_the_same_version_may_come_back(tmp_path: Path) -> None:
    claim(tmp_path)
    (tmp_path / "aws").mkdir()

    claim(tmp_path)


@pytest.mark.parametrize("content", ['{"layout": 1, "ministack": "0.1"}', "{", None])
def test_another_version_is_refused_with_the_remedy(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "aws").mkdir()
    if content is not None:
        (tmp_path / "version.json").write_text(content)

    with pytest.raises(LocalError, match=r"left by another version .* `make reset`"):
        claim(tmp_path)


def test_a_folder_in_use_is_refused_after_some_waiting(tmp_path: Path) -> None:
    async def twice() -> None:
        async with state.claimed(tmp_path):
            await asyncio.sleep(0)
            async with state.claimed(tmp_path, wait_s=0.3):
                pass

    with pytest.raises(LocalError, match="is in use by another local system"):
        asyncio.run(twice())


def test_a_child_that_has_the_descriptor_holds_the_claim_after_its_parent(tmp_path: Path) -> None:
    async def keep() -> int:
        async with state.claimed(tmp_path) as descriptor:
            return os.dup(descriptor)

    kept = asyncio.run(keep())
    try:
        with pytest.raises(LocalError):
            claim(tmp_path)
    finally:
        os.close(kept)
    claim(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LocalError, match=r"^STATE .* cannot be used: Not a directory\.$"):
        claim(tmp_path / "file" / "state")


def test_a_reset_leaves_nothing_but_the_lock_whoever_wrote_it(tmp_path: Path) -> None:
    claim(tmp_path)
    (tmp_path / "version.json").write_text("of another version")
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "tables.json").touch()
    (tmp_path / "elsewhere").symlink_to(tmp_path.parent)

    state.reset(tmp_path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["lock"]
    assert tmp_path.parent.exists()
    claim(tmp_path)


def test_a_reset_of_nothing_makes_nothing(tmp_path: Path) -> None:
    state.reset(tmp_path / "state")

    assert not (tmp_path / "state").exists()


def test_a_system_that_runs_keeps_its_data(tmp_path: Path) -> None:
    async def while_it_runs() -> None:
        async with state.claimed(tmp_path):
            state.reset(tmp_path)

    with pytest.raises(LocalError, match="is in use by a local system, and nothing was deleted: stop that one first"):
        asyncio.run(while_it_runs())
    assert (tmp_path / "version.json").exists()
