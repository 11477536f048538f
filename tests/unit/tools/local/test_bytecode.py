import importlib.util
import marshal
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest

from tools.local import bytecode
from tools.local.settings import UserError

TEMPLATE = """
Globals: {Function: {Runtime: RUNTIME}}
Resources:
  Table: {Type: AWS::DynamoDB::Table, Properties: {}}
  Function: {Type: AWS::Serverless::Function, Properties: {CodeUri: Function}}
  Layer: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: Layer}}
"""
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
MODULE = "import json\nNAMES = {'one', 'two', 'three'}\n\ndef names():\n    return {'four', 'five'} | NAMES\n"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return make_build(tmp_path / "build")


def make_build(folder: Path, runtime: str = RUNTIME) -> Path:
    for name in ("Function/app.py", "Layer/python/package/module.py", "Layer/python/bad.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("def\n" if name.endswith("bad.py") else MODULE)
    (folder / "template.yaml").write_text(TEMPLATE.replace("RUNTIME", runtime))
    return folder


def compiled(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.pyc"))}


def test_compiles_functions_and_layers_and_skips_a_broken_module(build: Path) -> None:
    bytecode.compile_build(build)

    tag = sys.implementation.cache_tag
    assert list(compiled(build)) == [
        f"Function/__pycache__/app.{tag}.pyc",
        f"Layer/python/package/__pycache__/module.{tag}.pyc",
    ]


def test_compiles_for_every_modification_time_of_the_source(build: Path) -> None:
    bytecode.compile_build(build)

    for content in compiled(build).values():
        # PEP 552: the first word is the magic number of the Python version, which is the same on every architecture.
        assert content[:4] == importlib.util.MAGIC_NUMBER
        # The second word is 1 if Python never compares the file with its source.
        assert int.from_bytes(content[4:8], "little") == 1


def test_compiled_code_has_the_paths_of_lambda(build: Path) -> None:
    bytecode.compile_build(build)

    codes = [marshal.loads(content[16:]) for content in compiled(build).values()]  # noqa: S302
    assert [code.co_filename for code in codes if isinstance(code, CodeType)] == [
        "/var/task/app.py",
        "/opt/python/package/module.py",
    ]


def test_two_builds_have_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for number, seed in enumerate(("1", "2")):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        build = make_build(tmp_path / f"build-{number}")
        os.utime(build / "Function/app.py", (number, number))
        bytecode.compile_build(build)
        results.append(compiled(build))

    assert results[0] == results[1]


def test_ignores_the_variables_of_make(build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")

    bytecode.compile_build(build)

    assert len(compiled(build)) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_python_uses_the_compiled_modules_of_a_read_only_copy(build: Path, tmp_path: Path) -> None:
    bytecode.compile_build(build)
    copy = shutil.copytree(build / "Layer", tmp_path / "copy")
    for path in sorted(copy.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)

    environ = {"PYTHONPATH": str(copy / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-v", "-c", "import package.module"]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)

    file = copy / f"python/package/__pycache__/module.{sys.implementation.cache_tag}.pyc"
    assert f"# code object from '{file}'" in result.stderr
    assert f"# code object from '{copy}/python/package/module.py'" not in result.stderr


def test_rejects_a_runtime_of_another_python(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", runtime="python3.9")

    with pytest.raises(UserError, match=r"^The template's runtime is python3\.9, but this is python3\.\d+\. Run "):
        bytecode.compile_build(build)
    assert compiled(build) == {}


@pytest.mark.parametrize("script", ["exit 2", "kill -9 $$", "echo 'Traceback (most recent call last):' >&2; exit 1"])
def test_raises_if_the_compiler_fails(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    with pytest.raises(UserError, match=r"^compileall cannot compile .*/Function \(exit code (2|-9|1)\)"):
        bytecode.compile_build(build)
