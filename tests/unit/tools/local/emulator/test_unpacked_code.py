import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.local.emulator.unpacked_code import _unpack, link_unpacked, zipfile_with


def pack(folder: Path, name: str, text: str) -> Path:
    archive = folder / f"{name}.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("package/module.py", text)
    return archive


def test_all_processes_share_the_files_of_one_archive(tmp_path: Path) -> None:
    archive, same = pack(tmp_path, "code", "x = 1"), tmp_path / "same.zip"
    same.write_bytes(archive.read_bytes())

    link_unpacked(archive, tmp_path / "one", tmp_path / "unpacked")
    (tmp_path / "two").mkdir()
    link_unpacked(same, tmp_path / "two", tmp_path / "unpacked")

    first, second = (tmp_path / name / "package/module.py" for name in ("one", "two"))
    assert first.read_text() == "x = 1"
    assert first.samefile(second)
    assert len(list((tmp_path / "unpacked").iterdir())) == 1


def test_changed_archive_is_unpacked_again(tmp_path: Path) -> None:
    link_unpacked(pack(tmp_path, "code", "x = 1"), tmp_path / "one", tmp_path / "unpacked")
    link_unpacked(pack(tmp_path, "code", "x = 2"), tmp_path / "two", tmp_path / "unpacked")

    assert (tmp_path / "two/package/module.py").read_text() == "x = 2"
    assert (tmp_path / "one/package/module.py").read_text() == "x = 1"


def test_process_that_unpacks_later_leaves_the_files_of_the_first_one(tmp_path: Path) -> None:
    archive, unpacked = pack(tmp_path, "code", "x = 1"), tmp_path / "unpacked" / "digest"
    _unpack(archive, unpacked)
    first = (unpacked / "package/module.py").stat().st_ino

    _unpack(archive, unpacked)

    assert (unpacked / "package/module.py").stat().st_ino == first
    assert list((tmp_path / "unpacked").iterdir()) == [unpacked]


def test_failed_unpacking_leaves_nothing_behind(tmp_path: Path) -> None:
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("a", "file")
        content.writestr("a/b", "below a file")

    with pytest.raises(OSError, match=r"directory|exists"):
        link_unpacked(archive, tmp_path / "one", tmp_path / "unpacked")

    assert list((tmp_path / "unpacked").iterdir()) == []


def test_replaced_module_has_the_names_that_ministack_uses() -> None:
    class Linked(zipfile.ZipFile):
        pass

    replaced = zipfile_with(Linked)

    assert replaced.ZipFile is Linked
    for name in set(zipfile.__all__) - {"ZipFile"}:
        assert getattr(replaced, name) is getattr(zipfile, name)
    # ministack evaluates this name after an OSError. zipfile itself does not have it.
    with pytest.raises(OSError, match=r"^disk full$"):
        fail_to_unpack(replaced)


def fail_to_unpack(module: SimpleNamespace) -> None:
    """Fails like ministack's lambda_runtime if a layer cannot be unpacked."""
    try:
        raise OSError("disk full")
    except (module.BadZipFile, module.LargeFileError):
        pass
