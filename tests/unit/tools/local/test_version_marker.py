import json
from pathlib import Path

import pytest
from samcli.yamlhelper import yaml_parse

from tools.local import version_marker
from tools.local.settings import REPOSITORY

OVERRIDES = ["Platform=local", "HistoryDays=7"]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    file = tmp_path / "template.yaml"
    file.write_text((REPOSITORY / "template.yaml").read_text())
    return file


def text(template: Path, *overrides: str) -> str:
    return version_marker.write_marked_copy(template, overrides).read_text()


def test_copy_is_beside_the_template_and_differs_only_in_the_mark(template: Path) -> None:
    copy = version_marker.write_marked_copy(template, OVERRIDES)

    # The copy names the code by relative paths.
    assert copy.parent == template.parent
    marked = json.loads(copy.read_text())
    assert marked["Globals"]["Function"]["Environment"]["Variables"].pop("RELEASE") != "unmarked"
    original = yaml_parse(template.read_text())
    del original["Globals"]["Function"]["Environment"]["Variables"]["RELEASE"]
    assert marked == original


def test_mark_depends_on_values_but_not_on_their_order(template: Path) -> None:
    assert text(template, *OVERRIDES) == text(template, *reversed(OVERRIDES))
    assert len({text(template), text(template, *OVERRIDES), text(template, "Platform=local", "HistoryDays=8")}) == 3


def test_mark_depends_on_defaults(template: Path) -> None:
    before = version_marker.write_marked_copy(template, OVERRIDES).name
    template.write_text(template.read_text().replace("Default: 30\n", "Default: 60\n"))

    assert version_marker.write_marked_copy(template, OVERRIDES).name != before
