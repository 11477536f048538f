"""No module is over 300 lines and no function over 40, or 60 in tests, which may contain data."""

import ast
from pathlib import Path

import pytest

from tests.template import ROOT

FOLDERS = ("functions", "layers", "tools", "tests")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < (60 if "tests" in path.parts else 40), node.name
