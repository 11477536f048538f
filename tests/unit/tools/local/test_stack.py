import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.local.running_server import needs_runtime
from tools.local import stack
from tools.local.settings import Settings, UserError


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "template.yaml").write_text("Resources: {}")
    for name in ("functions/one/app.py", "layers/two/requirements.txt", "README.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    return tmp_path


@pytest.mark.parametrize("name", ["template.yaml", "functions/one/app.py", "layers/two/requirements.txt", "layers/new"])
def test_fingerprint_changes_with_a_source(sources: Path, name: str) -> None:
    before = stack.fingerprint(sources, "x86_64")

    (sources / name).write_text("changed")

    assert stack.fingerprint(sources, "x86_64") != before


def test_fingerprint_changes_with_a_moved_file(sources: Path) -> None:
    before = stack.fingerprint(sources)

    (sources / "functions/one/app.py").rename(sources / "functions/one/other.py")

    assert stack.fingerprint(sources) != before


def test_fingerprint_ignores_compiled_code_and_other_files(sources: Path) -> None:
    before = stack.fingerprint(sources, "x86_64")

    (sources / "functions/one/__pycache__").mkdir()
    (sources / "functions/one/__pycache__/app.pyc").write_text("compiled")
    (sources / "README.md").write_text("changed")

    assert stack.fingerprint(sources, "x86_64") == before
    assert stack.fingerprint(sources, "arm64") != before


def test_parameters_describe_the_local_system() -> None:
    values = stack.parameters(Settings(aws_port=77))

    assert values["AwsEndpointUrl"] == "http://127.0.0.1:77"
    assert values["Platform"] == "local"
    assert values["Architecture"] in ("x86_64", "arm64")


def test_user_parameters_are_added() -> None:
    values = stack.parameters(Settings(parameters={"WholeSeconds": "4"}))

    assert values["WholeSeconds"] == "4"
    assert values["Platform"] == "local"


def event(name: str, status: str, reason: str = "", kind: str = "AWS::DynamoDB::Table") -> dict[str, Any]:
    return {"LogicalResourceId": name, "ResourceStatus": status, "ResourceStatusReason": reason, "ResourceType": kind}


STACK = "AWS::CloudFormation::Stack"


def test_reason_is_the_first_failure_of_the_last_deployment() -> None:
    newest_first = [
        event("local", "UPDATE_ROLLBACK_COMPLETE", kind=STACK),
        event("Queue", "CREATE_FAILED", "Resource creation cancelled"),
        event("Table", "UPDATE_FAILED", "no such key"),
        event("local", "UPDATE_IN_PROGRESS", "User Initiated", STACK),
        event("Other", "CREATE_FAILED", "long ago"),
    ]

    assert stack.first_failure(newest_first) == "Table: no such key. "


def test_no_failure_has_no_reason() -> None:
    assert stack.first_failure([event("local", "CREATE_COMPLETE", kind=STACK)]) == ""


def test_failed_build_shows_the_end_of_the_log(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)

    with pytest.raises(UserError, match=r"^`sam build` failed\. Its log is .*sam-build\.log:\n(.*\n)*.*No such option"):
        asyncio.run(stack.run_sam(settings, "build", "--no-such-option", folder=tmp_path))


@needs_runtime
def test_compiles_a_build_in_place_without_modification_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = tmp_path / "build"
    build.mkdir()
    (build / "good.py").write_text("value = 1\n")
    (build / "bad.py").write_text("def\n")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "elsewhere"))

    asyncio.run(stack.compile_modules(build, tmp_path / "compile.log"))

    [compiled] = tmp_path.rglob("*.pyc")
    assert compiled.parent == build / "__pycache__"
    # PEP 552: the second word is 1 if Python never compares the file with its source.
    assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 1


def test_deletes_all_but_the_recently_used_builds(tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "template.yaml").touch()
        os.utime(folder, (number, number))
    (tmp_path / "cache").mkdir()

    stack.delete_old_builds(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3", "4", "5", "cache"]
