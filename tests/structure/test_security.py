"""SECURITY.md names at least one test for each threat, and each named test exists."""

import ast
import re

import pytest

from tests.template import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and "---" not in line][1:]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def test_every_threat_names_a_test() -> None:
    assert len(ROWS) > 15
    assert not [row for row in ROWS if not re.search(r"\| (`tests/[\w/]+\.py::\w+` ?)+\|$", row)]


def test_every_promise_names_a_test() -> None:
    _, _, section = TEXT.partition("## What the gateway promises")
    promises = section.partition("## Threats")[0].split("\n- **")[1:]

    assert len(promises) == 5
    assert not [promise for promise in promises if not re.search(r"`tests/[\w/]+\.py::\w+`", promise)]


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_each_named_test_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())

    assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
