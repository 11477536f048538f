import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tools.local import stack
from tools.local.settings import LocalError, Settings


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "template.yaml").write_text("Resources: {}")
    for name in ("functions/one/app.py", "layers/two/requirements.txt", "README.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    return tmp_path


@pytest.mark.parametrize("name", ["template.yaml", "functions/one/app.py", "layers/two/requirements.txt", "layers/new"])
def test_a_change_of_a_source_is_seen(sources: Path, name: str) -> None:
    before = stack.fingerprint(sources, "x86_64")

    (sources / name).write_text("changed")

    assert stack.fingerprint(sources, "x86_64") != before


def test_a_moved_file_is_seen(sources: Path) -> None:
    before = stack.fingerprint(sources)

    (sources / "functions/one/app.py").rename(sources / "functions/one/other.py")

    assert stack.fingerprint(sources) != before


def test_compiled_code_and_other_files_are_no_change(sources: Path) -> None:
    before = stack.fingerprint(sources, "x86_64")

    (sources / "functions/one/__pycache__").mkdir()
    (sources / "functions/one/__pycache__/app.pyc").write_text("compiled")
    (sources / "README.md").write_text("changed")

    assert stack.fingerprint(sources, "x86_64") == before
    assert stack.fingerprint(sources, "arm64") != before


def test_the_stack_is_told_where_it_runs() -> None:
    chosen = stack.parameters(Settings(aws_port=77))

    assert chosen["AwsEndpointUrl"] == "http://127.0.0.1:77"
    assert chosen["Platform"] == "local"
    assert chosen["Architecture"] in ("x86_64", "arm64")


def test_parameters_that_the_user_chose_are_passed_on() -> None:
    chosen = stack.parameters(Settings(parameters={"WholeSeconds": "4"}))

    assert chosen["WholeSeconds"] == "4"
    assert chosen["Platform"] == "local"


def event(name: str, status: str, reason: str = "", kind: str = "AWS::DynamoDB::Table") -> dict[str, Any]:
    return {"LogicalResourceId": name, "ResourceStatus": status, "ResourceStatusReason": reason, "ResourceType": kind}


STACK = "AWS::CloudFormation::Stack"


def test_the_reason_is_the_first_failure_of_the_last_deployment() -> None:
    newest_first = [
        event("local", "UPDATE_ROLLBACK_COMPLETE", kind=STACK),
        event("Queue", "CREATE_FAILED", "Resource creation cancelled"),
        event("Table", "UPDATE_FAILED", "no such key"),
        event("local", "UPDATE_IN_PROGRESS", "User Initiated", STACK),
        event("Other", "CREATE_FAILED", "long ago"),
    ]

    assert stack.first_failure(newest_first) == "Table: no such key. "


def test_no_failure_is_no_reason() -> None:
    assert stack.first_failure([event("local", "CREATE_COMPLETE", kind=STACK)]) == ""


def test_a_build_that_fails_is_one_sentence_with_the_end_of_the_log(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)

    with pytest.raises(
        LocalError, match=r"^`sam build` failed\. Its log is .*sam-build\.log:\n(.*\n)*.*No such option"
    ):
        asyncio.run(stack.command(settings, "build", "--no-such-option", folder=tmp_path))


def test_old_builds_go_and_those_last_used_stay(tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "template.yaml").touch()
        os.utime(folder, (number, number))
    (tmp_path / "cache").mkdir()

    stack.forget_old_builds(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3", "4", "5", "cache"]
