from pathlib import Path

import pytest

from tools.local import version_marker
from tools.local.settings import REPOSITORY

CHOSEN = ["Platform=local", "HistoryDays=7"]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    file = tmp_path / "template.yaml"
    file.write_text((REPOSITORY / "template.yaml").read_text())
    return file


def text(template: Path, *overrides: str) -> str:
    return version_marker.marked(template, overrides).read_text()


def test_the_copy_lies_beside_the_template_and_differs_in_the_mark_alone(template: Path) -> None:
    copy = version_marker.marked(template, CHOSEN)

    assert copy.parent == template.parent  # the code that it names is found from there
    one, other = template.read_text().splitlines(), copy.read_text().splitlines()
    assert [line.split()[0] for line, changed in zip(one, other, strict=True) if line != changed] == ["RELEASE:"]


def test_another_value_is_another_mark_and_the_order_of_them_is_not(template: Path) -> None:
    assert text(template, *CHOSEN) == text(template, *reversed(CHOSEN))
    assert len({text(template), text(template, *CHOSEN), text(template, "Platform=local", "HistoryDays=8")}) == 3


def test_another_default_is_another_mark(template: Path) -> None:
    before = version_marker.marked(template, CHOSEN).name
    template.write_text(template.read_text().replace("Default: 30\n", "Default: 60\n"))

    assert version_marker.marked(template, CHOSEN).name != before
