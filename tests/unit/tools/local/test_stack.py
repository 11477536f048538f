import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

from tests.template import ROOT, template
from tools.local import stack
from tools.local.settings import Settings, UserError

BUILT = ("functions/one/app.py", "layers/gateway/requirements.txt", "layers/streaming/python/package/module.py")
NOT_BUILT = ("README.md", "layers/streaming/README.md", "layers/streaming/tests/test_one.py")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "template.yaml").write_text("Resources: {}")
    for name in (*BUILT, *NOT_BUILT):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    return tmp_path


@pytest.mark.parametrize("name", ["template.yaml", *BUILT, "layers/gateway/new"])
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
    for name in NOT_BUILT:
        (sources / name).write_text("changed")

    assert stack.fingerprint(sources, "x86_64") == before
    assert stack.fingerprint(sources, "arm64") != before


def test_fingerprint_covers_the_packages_of_the_template_and_no_other_folder() -> None:
    resources = template()["Resources"].values()
    properties = [resource.get("Properties", {}) for resource in resources]
    packages = [ROOT / each[name] for each in properties for name in ("CodeUri", "ContentUri") if name in each]
    files = set(stack.source_files(ROOT)) - {ROOT / "template.yaml"}

    assert len(packages) == 8
    assert all(any(file.is_relative_to(package) for file in files) for package in packages)
    assert [file for file in files if not any(file.is_relative_to(package) for package in packages)] == []


def test_parameters_describe_the_local_system() -> None:
    values = stack.parameters(Settings(aws_port=77))

    assert values["AwsEndpointUrl"] == "http://127.0.0.1:77"
    assert values["Platform"] == "local"
    assert values["Architecture"] in ("x86_64", "arm64")


def test_user_parameters_are_added() -> None:
    values = stack.parameters(Settings(parameters={"WholeSeconds": "4"}))

    assert values["WholeSeconds"] == "4"
    assert values["Platform"] == "local"


def test_a_template_has_the_same_content_as_json(tmp_path: Path) -> None:
    file = tmp_path / "template.yaml"
    file.write_text((ROOT / "template.yaml").read_text())

    stack.rewrite_as_json(file)

    assert json.loads(file.read_text()) == yaml_parse((ROOT / "template.yaml").read_text())


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
