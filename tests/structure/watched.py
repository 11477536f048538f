"""What the template watches, and what the code emits and logs, each read from where it is written."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any, get_args

from gateway.core.telemetry import MetricName
from tests.structure.rendered import deployed, of_type, render
from tests.template import ROOT

NAMES: tuple[str, ...] = get_args(MetricName)
RESOURCES: dict[str, Any] = render()["Resources"]
SOURCES = [*sorted((ROOT / "functions").rglob("*.py")), *sorted((ROOT / "layers/gateway/gateway").rglob("*.py"))]
ALARMS = of_type("AWS::CloudWatch::Alarm", deployed()["Resources"])  # without a gradual deployment's: those ring nobody
QUERIES = of_type("AWS::Logs::QueryDefinition", RESOURCES)
REFERENCE = re.compile(r"\$\{([^!}][^}]*)\}")


def dashboard() -> dict[str, Any]:
    """The dashboard's body; a reference stays as it is written, `${LogicalId}`."""
    body: dict[str, Any] = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    return body


def widgets(kind: str) -> list[dict[str, Any]]:
    return [widget["properties"] for widget in dashboard()["widgets"] if widget["type"] == kind]


def charted() -> Iterator[list[Any]]:
    """`[namespace, name, dimension, value, …, options]` of each metric that a widget draws by its name."""
    for widget in widgets("metric"):
        yield from (metric for metric in widget["metrics"] if isinstance(metric[0], str))


def searched() -> set[str]:
    """The metrics that a widget finds for each provider."""
    expressions = [m[0]["expression"] for w in widgets("metric") for m in w["metrics"] if isinstance(m[0], dict)]
    return {name for expression in expressions for name in re.findall(r'MetricName="(\w+)"', expression)}


def log_queries() -> dict[str, str]:
    """Every query, saved or on the dashboard, by its name."""
    drawn = {f"dashboard: {widget['title']}": widget["query"] for widget in widgets("log")}
    return drawn | {name: query["QueryString"] for name, query in QUERIES.items()}


def functions() -> Iterator[ast.FunctionDef]:
    for path in SOURCES:
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


def calls(function: ast.FunctionDef) -> Iterator[tuple[str, ast.Call]]:
    """Each call in a function, with the last part of the name that it goes by."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield (node.func.id if isinstance(node.func, ast.Name) else node.func.attr), node


def emitted() -> dict[str, set[str]]:
    """Where each metric is emitted: `none`, `provider`, or both."""
    found: dict[str, set[str]] = {}
    for function in functions():
        for name, call in calls(function):
            if name == "emit" and call.args:
                dimension = "provider" if "provider" in {word.arg for word in call.keywords} else "none"
                for metric in keys(function, call.args[0]):
                    found.setdefault(metric, set()).add(dimension)
    return found


def logged(message: str) -> set[str]:
    """The fields of the log line with that message."""
    return {
        field
        for function in functions()
        for name, call in calls(function)
        if name in {"info", "warning", "error", "exception"} and first_word(call) == message
        for word in call.keywords
        if word.arg == "extra"
        for field in keys(function, word.value)
    }


def messages() -> set[str]:
    return {first_word(call) for function in functions() for _, call in calls(function)}


def first_word(call: ast.Call) -> str:
    return str(call.args[0].value) if call.args and isinstance(call.args[0], ast.Constant) else ""


def keys(function: ast.FunctionDef, expression: ast.AST) -> Iterator[str]:
    """The keys of the dicts that make an expression up, through the variables that hold them."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Dict):
            yield from (str(key.value) for key in node.keys if isinstance(key, ast.Constant))
        elif isinstance(node, ast.Name):
            for value in assigned(function, node.id):
                yield from keys(function, value)


def assigned(function: ast.FunctionDef, name: str) -> Iterator[ast.AST]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            yield node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            yield from [node.value] if node.value else []
