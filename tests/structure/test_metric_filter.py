"""The metric filter that counts the authorizer's failures, applied to lines of Lambda's log."""

import ast
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.structure.observability import RESOURCES

PATTERN: str = RESOURCES["AuthorizerFailures"]["Properties"]["FilterPattern"]
COMPARISON = re.compile(r'\$\.([\w.]+) (!?=) "([^"]*)"')


def counted(line: dict[str, Any]) -> bool:
    """Whether the filter counts a line."""
    compared = COMPARISON.sub(lambda match: str(_holds(line, *match.groups())), PATTERN.strip("{ }"))
    return _evaluate(ast.parse(compared.replace("||", "or").replace("&&", "and"), mode="eval").body)


def _holds(line: dict[str, Any], path: str, operator: str, pattern: str) -> bool:
    """A comparison of the filter. It is false if the line has no such field."""
    value: Any = line
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return isinstance(value, str) and fnmatchcase(value, pattern) == (operator == "=")


def _evaluate(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return (all if isinstance(node.op, ast.And) else any)(map(_evaluate, node.values))
    return bool(ast.literal_eval(node))


def report(**record: str) -> dict[str, Any]:
    return {"type": "platform.report", "record": {"requestId": "1", **record}}


@pytest.mark.parametrize(
    "line",
    [
        report(status="error", errorType="Runtime.ExitError"),
        report(status="error", errorType="Runtime.OutOfMemory"),
        report(status="timeout"),
        {"errorMessage": "Secrets Manager does not answer", "errorType": "TokensUnavailable"},
        {"errorMessage": "No module named gateway", "errorType": "Runtime.ImportModuleError"},
    ],
    ids=["crash", "out of memory", "timeout", "exception", "import error"],
)
def test_counts_failures_of_the_authorizer(line: dict[str, Any]) -> None:
    assert counted(line)


@pytest.mark.parametrize(
    "line",
    [
        {"errorMessage": "Unauthorized", "errorType": "Exception"},
        # Lambda reports an exception without a type of the form Runtime.… as Runtime.Unknown.
        report(status="error", errorType="Runtime.Unknown"),
        report(status="success"),
        # Lambda's second line about the same crash.
        {"type": "platform.runtimeDone", "record": {"status": "error", "errorType": "Runtime.ExitError"}},
    ],
    ids=["unknown token", "report of an unknown token", "success", "end of the runtime"],
)
def test_counts_neither_unknown_tokens_nor_a_failure_twice(line: dict[str, Any]) -> None:
    assert not counted(line)
