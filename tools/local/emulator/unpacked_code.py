"""Unpacks the code and the layers of a function once instead of for each process: later processes get hard links.

Runs in the emulator's virtual environment. A process starts faster, and all of them together need the disk space of
one. The functions never write into their folders, as on Lambda, where these are read-only.
"""

import hashlib
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace


def install(folder: Path) -> None:
    """Replaces the class with which ministack unpacks. `folder` must be on the disk of ministack's temporary files."""
    from ministack.core import lambda_runtime

    class LinkedZipFile(zipfile.ZipFile):
        def extractall(self, path: object = None, members: object = None, pwd: object = None) -> None:  # noqa: ARG002
            link_unpacked(Path(str(self.filename)), Path(str(path)), folder)

    lambda_runtime.zipfile = zipfile_with(LinkedZipFile)


def zipfile_with(zip_file: type[zipfile.ZipFile]) -> SimpleNamespace:
    """Returns a copy of the module `zipfile` with this class as `ZipFile`.

    ministack also catches `LargeFileError`, which `zipfile` calls `LargeZipFile`. Without that name, the reason why a
    layer cannot be unpacked, such as a full disk, is lost in an AttributeError.
    """
    return SimpleNamespace(**vars(zipfile) | {"ZipFile": zip_file, "LargeFileError": zipfile.LargeZipFile})


def link_unpacked(archive: Path, target: Path, folder: Path) -> None:
    """Fills `target` with hard links to the unpacked archive, which is in `folder` from the first call on."""
    digest = hashlib.blake2b(archive.read_bytes(), digest_size=16).hexdigest()
    unpacked = folder / digest
    if not unpacked.exists():
        _unpack(archive, unpacked)
    shutil.copytree(unpacked, target, copy_function=os.link, dirs_exist_ok=True)


def _unpack(archive: Path, unpacked: Path) -> None:
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    incomplete = Path(tempfile.mkdtemp(dir=unpacked.parent))
    try:
        with zipfile.ZipFile(archive) as content:
            content.extractall(incomplete)
        incomplete.rename(unpacked)
    except OSError:
        shutil.rmtree(incomplete, ignore_errors=True)
        # Another process of the function may have unpacked it meanwhile.
        if not unpacked.exists():
            raise
