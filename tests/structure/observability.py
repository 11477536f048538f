"""Alarms, dashboard and queries of the template, and the metrics and log fields that the code emits."""

import ast
import functools
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
# Without the rollback alarms of gradual deployments, which notify nobody.
ALARMS = of_type("AWS::CloudWatch::Alarm", deployed()["Resources"])
QUERIES = of_type("AWS::Logs::QueryDefinition", RESOURCES)
# Without ORDER BY, CloudWatch chooses which 500 series it returns: see "Metrics Insights quotas" in its documentation.
METRICS_INSIGHTS = re.compile(
    r'SELECT (?P<statistic>MAX|SUM)\((?P<name>\w+)\) FROM SCHEMA\("\$\{MetricsNamespace\}", provider\) '
    r"GROUP BY provider ORDER BY (?P=statistic)\(\) DESC(?: LIMIT \d+)?"
)
OWN = {"Ref": "MetricsNamespace"}
FROM_LOGS = {
    transformation["MetricName"]
    for metric_filter in of_type("AWS::Logs::MetricFilter", RESOURCES).values()
    for transformation in metric_filter["MetricTransformations"]
    if transformation["MetricNamespace"] == OWN
}
REFERENCE = re.compile(r"\$\{([^!}][^}]*)\}")
# By namespace: the dimension, the resource types that it names, and the metrics.
AWS_METRICS = {
    "AWS/Lambda": (
        "FunctionName",
        {"AWS::Lambda::Function"},
        {"Errors", "Throttles", "Duration", "ConcurrentExecutions"},
    ),
    "AWS/States": (
        "StateMachineArn",
        {"AWS::StepFunctions::StateMachine"},
        {"ExecutionsStarted", "ExecutionsFailed", "ExecutionsTimedOut"},
    ),
    "AWS/ApiGateway": ("ApiName", {"stack"}, {"Count", "4XXError", "5XXError", "Latency"}),
}


def dashboard() -> dict[str, Any]:
    """The dashboard's body. References stay unresolved: `${LogicalId}`."""
    body: dict[str, Any] = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    return body


def widgets(kind: str) -> list[dict[str, Any]]:
    return [widget["properties"] for widget in dashboard()["widgets"] if widget["type"] == kind]


def charted() -> Iterator[list[Any]]:
    """`[namespace, name, dimension, value, …, options]` of each metric that a widget names."""
    for widget in widgets("metric"):
        yield from (metric for metric in widget["metrics"] if isinstance(metric[0], str))


def searched() -> set[str]:
    """The metrics that a widget searches or queries by provider."""
    expressions = [m[0]["expression"] for w in widgets("metric") for m in w["metrics"] if isinstance(m[0], dict)]
    return {name for expression in expressions for name in re.findall(r'MetricName="(\w+)"', expression)} | {
        query["name"] for expression in expressions if (query := METRICS_INSIGHTS.fullmatch(expression))
    }


def log_queries() -> dict[str, str]:
    """Every saved or dashboard query by name."""
    charts = {f"dashboard: {widget['title']}": widget["query"] for widget in widgets("log")}
    return charts | {name: query["QueryString"] for name, query in QUERIES.items()}


@functools.cache
def functions() -> list[ast.FunctionDef]:
    """Every function of the Lambda functions and the gateway package."""
    trees = [ast.parse(path.read_text()) for path in SOURCES]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@functools.cache
def calls(function: ast.FunctionDef) -> list[tuple[str, ast.Call]]:
    """Each call in a function, with the last part of the called name."""
    return [
        (node.func.id if isinstance(node.func, ast.Name) else node.func.attr, node)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    ]


def emitted() -> dict[str, set[str]]:
    """The dimensions of each metric: `none`, `provider`, or both."""
    dimensions: dict[str, set[str]] = {}
    for function in functions():
        for name, call in calls(function):
            if name == "emit" and call.args:
                dimension = "provider" if "provider" in {keyword.arg for keyword in call.keywords} else "none"
                for metric in keys(function, call.args[0]):
                    dimensions.setdefault(metric, set()).add(dimension)
    return dimensions


def logged(message: str) -> set[str]:
    """The fields of the log line with that message."""
    return {
        field
        for function in functions()
        for name, call in calls(function)
        if name in {"info", "warning", "error", "exception"} and log_message(call) == message
        for keyword in call.keywords
        if keyword.arg == "extra"
        for field in keys(function, keyword.value)
    }


def messages() -> set[str]:
    return {log_message(call) for function in functions() for _, call in calls(function)}


def log_message(call: ast.Call) -> str:
    return str(call.args[0].value) if call.args and isinstance(call.args[0], ast.Constant) else ""


def returned_keys(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield from keys(function, node.value)


def keys(function: ast.FunctionDef, expression: ast.AST) -> Iterator[str]:
    """The keys of the dicts in an expression, including dicts assigned to its variables or returned by `_…_fields`."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Dict):
            yield from (str(key.value) for key in node.keys if isinstance(key, ast.Constant))
        elif isinstance(node, ast.Name):
            for value in assigned(function, node.id):
                yield from keys(function, value)
            for fields in functions() if node.id.endswith("_fields") else ():
                if fields.name == node.id:
                    yield from returned_keys(fields)


def assigned(function: ast.FunctionDef, name: str) -> Iterator[ast.AST]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            yield node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            yield from [node.value] if node.value else []
