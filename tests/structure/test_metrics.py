"""Dashboard, alarms, saved queries and docs/metrics.md against the code: none names what is not there."""

import json
import re
import uuid
from itertools import combinations
from typing import Any

import pytest

from gateway.core.telemetry import UNITS, make_logger
from tests.structure.rendered import deployed, of_type
from tests.structure.watched import (
    ALARMS,
    NAMES,
    QUERIES,
    REFERENCE,
    RESOURCES,
    charted,
    dashboard,
    emitted,
    log_queries,
    logged,
    messages,
    searched,
    widgets,
)
from tests.template import ROOT, template

OWN = {"Ref": "MetricsNamespace"}
DOCS = (ROOT / "docs/metrics.md").read_text()
AWS_METRICS = {  # of each namespace: the dimension, the types of resource that it is, and what is measured
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
FROM_LOGS = {
    transformation["MetricName"]
    for metric_filter in of_type("AWS::Logs::MetricFilter", RESOURCES).values()
    for transformation in metric_filter["MetricTransformations"]
    if transformation["MetricNamespace"] == OWN
}
WITHOUT_DIMENSION = {name for name, dimensions in emitted().items() if "none" in dimensions} | FROM_LOGS


def assert_is_a_metric_of_aws(namespace: str, name: str, dimension: str, logical_id: str) -> None:
    expected, types, known = AWS_METRICS[namespace]
    resource_type = "stack" if logical_id == "AWS::StackName" else RESOURCES[logical_id]["Type"]
    assert (dimension, name in known, resource_type in types) == (expected, True, True)


# ---- The code ----------------------------------------------------------------------------------------------------


def test_every_metric_has_a_place_that_emits_it() -> None:
    assert set(emitted()) == set(NAMES)


def test_the_api_goes_by_the_stacks_name_in_its_metrics() -> None:
    assert RESOURCES["Api"]["Properties"]["Body"]["info"]["title"] == {"Ref": "AWS::StackName"}


# ---- Alarms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_a_metric_that_is_there_and_names_no_provider(name: str) -> None:
    alarm = ALARMS[name]
    if alarm["Namespace"] == OWN:
        assert "Dimensions" not in alarm
        assert alarm["MetricName"] in WITHOUT_DIMENSION
    else:
        [dimension] = alarm["Dimensions"]
        resource = dimension["Value"]["Ref"]
        assert_is_a_metric_of_aws(alarm["Namespace"], alarm["MetricName"], dimension["Name"], resource)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_its_begin_and_its_end_and_says_what_missing_data_means(name: str) -> None:
    assert ALARMS[name]["AlarmActions"] == ALARMS[name]["OKActions"] == [{"Ref": "AlarmTopic"}]
    assert "ActionsEnabled" not in ALARMS[name]
    assert len(ALARMS[name]["AlarmDescription"]) > 40
    assert "Metrics" not in ALARMS[name]  # metric math: the local AWS does none


AT_LEAST, BELOW = "GreaterThanOrEqualToThreshold", "LessThanThreshold"
ONCE_IN_FIVE_MINUTES = ("Sum", 300, 1, AT_LEAST, 1)
WHEN = {  # statistic, period, periods, comparison, threshold; what missing data mean
    "ProviderFailedAlarm": ("Maximum", 60, 1, AT_LEAST, 1, "ignore"),
    "NoTicksAlarm": ("Sum", 60, 2, BELOW, 1, "breaching"),
    "BeatsUnfinishedAlarm": (*ONCE_IN_FIVE_MINUTES, "ignore"),
    "BeatsNotWrittenAlarm": (*ONCE_IN_FIVE_MINUTES, "ignore"),
    "EventsNotPublishedAlarm": (*ONCE_IN_FIVE_MINUTES, "ignore"),
}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_rings_when_the_docs_say_so(name: str) -> None:
    """Most of it no local AWS shows: ministack takes no notice of missing data nor of an alarm's dimensions."""
    alarm = ALARMS[name]
    rings = tuple(alarm[key] for key in ("Statistic", "Period", "EvaluationPeriods", "ComparisonOperator", "Threshold"))

    assert (*rings, alarm["TreatMissingData"]) == WHEN.get(name, (*ONCE_IN_FIVE_MINUTES, "notBreaching"))


STATES = {"ProvidersFailed", "OldestBeatAge", "Duration", "ConcurrentExecutions"}  # what adds up to nothing


def test_a_widget_adds_up_counts_takes_the_worst_of_states_and_the_distribution_of_times() -> None:
    for _, metric, *_, options in charted():
        times = metric.endswith("Time") or metric == "Latency"
        expected = {"p50", "p90", "p99"} if times else {"Maximum"} if metric in STATES else {"Sum"}
        assert options["stat"] in expected, metric


def test_no_two_alarms_say_the_same() -> None:
    assert len({alarm["AlarmDescription"] for alarm in ALARMS.values()}) == len(ALARMS)


def test_each_function_has_an_alarm_of_its_own() -> None:
    watched = {d["Value"]["Ref"] for alarm in ALARMS.values() for d in alarm.get("Dimensions", [])}
    of_its_log = {"AuthorizerFunction"}  # by AuthorizerFailures

    assert watched & RESOURCES.keys() == set(of_type("AWS::Lambda::Function", RESOURCES)) - of_its_log | {
        "HeartbeatWorkflow"
    }
    assert RESOURCES["AuthorizerFailures"]["Properties"]["LogGroupName"] == {"Ref": "AuthorizerLogs"}


def test_the_authorizers_word_for_a_wrong_token_rings_no_alarm() -> None:
    pattern = RESOURCES["AuthorizerFailures"]["Properties"]["FilterPattern"]
    [word] = re.findall(r'errorMessage != "(\w+)"', pattern)

    assert f'raise Exception("{word}")' in (ROOT / "functions/authorizer/app.py").read_text()


def test_only_the_alarms_of_this_account_may_publish_to_the_topic() -> None:
    [statement] = RESOURCES["AlarmTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (statement["Action"], statement["Resource"]) == ("sns:Publish", {"Ref": "AlarmTopic"})
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


@pytest.mark.parametrize(
    ("parameter", "taken", "refused"),
    [
        ("AlarmEmail", ["", "a.b+c@example.co.uk"], ["a", "a@b", "a b@example.com", "a@b.c,d@e.f"]),
        ("MetricsNamespace", ["TokenHubGateway", "team-a.gateway_2"], ["", "AWS/Lambda", "a b", 'a"b', "2nd"]),
    ],
)
def test_a_parameter_takes_what_it_should_and_nothing_else(
    parameter: str, taken: list[str], refused: list[str]
) -> None:
    declared = template()["Parameters"][parameter]
    pattern = re.compile(declared["AllowedPattern"])

    assert all(pattern.fullmatch(value) for value in [*taken, declared["Default"]])
    assert not any(pattern.fullmatch(value) for value in refused)


def test_what_the_local_aws_does_not_know_is_for_aws_only_and_nothing_else_needs_it() -> None:
    on_aws = {name for name, resource in RESOURCES.items() if resource.get("Condition") == "OnAws"}
    always = json.dumps([resource for name, resource in RESOURCES.items() if name not in on_aws])

    assert on_aws >= set(QUERIES)
    assert not [name for name in on_aws if f'"{name}"' in always or f"${{{name}" in always]


# ---- Dashboard ---------------------------------------------------------------------------------------------------


def test_the_dashboard_refers_to_what_the_stack_has() -> None:
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    known = RESOURCES.keys() | template()["Parameters"].keys() | {"AWS::Region", "AWS::StackName"}

    assert {name.removesuffix(".Arn") for name in REFERENCE.findall(body)} <= known


def test_the_widgets_lie_on_24_columns_and_none_on_another() -> None:
    def cells(widget: dict[str, Any]) -> set[tuple[int, int]]:
        across, down = range(widget["width"]), range(widget["height"])
        return {(widget["x"] + x, widget["y"] + y) for x in across for y in down}

    assert all(widget["x"] + widget["width"] <= 24 for widget in dashboard()["widgets"])
    assert not [pair for pair in combinations(map(cells, dashboard()["widgets"]), 2) if pair[0] & pair[1]]


def test_the_dashboard_reads_from_top_to_bottom() -> None:
    headings = [widget for widget in dashboard()["widgets"] if widget["type"] == "text"]

    assert [heading["properties"]["markdown"] for heading in sorted(headings, key=lambda heading: heading["y"])] == [
        "# Is it up?",
        "# Since when?",
        "# What users feel",
        "# What is behind it",
    ]


def test_every_metric_that_a_widget_draws_is_there() -> None:
    for namespace, name, *more in charted():
        if namespace == "${MetricsNamespace}":
            assert name in WITHOUT_DIMENSION
            assert len(more) == 1, "options and no dimension"
        else:
            assert_is_a_metric_of_aws(namespace, name, more[0], more[1].strip("${}"))


def test_every_metric_that_a_widget_searches_for_is_emitted_with_the_provider() -> None:
    assert searched()
    assert searched() <= {name for name, dimensions in emitted().items() if "provider" in dimensions}


def test_every_metric_is_drawn() -> None:
    assert {name for namespace, name, *_ in charted() if namespace == "${MetricsNamespace}"} | searched() == set(NAMES)


def test_every_alarm_is_on_the_dashboard() -> None:
    [widget] = widgets("alarm")

    assert {reference.strip("${}").removesuffix(".Arn") for reference in widget["alarms"]} == set(ALARMS)


# ---- Queries -----------------------------------------------------------------------------------------------------

LANGUAGE = {
    *("filter", "fields", "sort", "stats", "limit", "by", "as", "desc", "asc", "and", "or", "not", "in", "SOURCE"),
    *("count", "max", "ispresent", "coalesce"),
}
OF_THE_RUNTIME = {"errorType", "errorMessage"}  # awslambdaric, where a function fails before it can log


def of_every_line(capsys: pytest.CaptureFixture[str]) -> set[str]:
    try:
        raise ValueError
    except ValueError:
        make_logger(uuid.uuid4().hex, "INFO").exception("line")
    return set(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("name", log_queries())
def test_every_field_that_a_query_uses_is_one_that_the_code_logs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    query = log_queries()[name]
    unquoted = re.sub(r"'[^']*'", "", query)
    made = set(re.findall(r"\bas (\w+)", unquoted))
    used = set(re.findall(r"(?<![@\w])[A-Za-z_]\w*", unquoted)) - LANGUAGE - made
    asked = re.findall(r"message = '([^']*)'", query)

    assert set(asked) <= messages()
    told = set().union(*(logged(message) for message in asked or messages()))
    assert used <= told | of_every_line(capsys) | OF_THE_RUNTIME


def test_each_group_that_a_query_reads_is_a_log_group_of_the_stack() -> None:
    groups = {group["Ref"] for query in QUERIES.values() for group in query["LogGroupNames"]}

    assert groups == set(of_type("AWS::Logs::LogGroup", deployed()["Resources"]))


# ---- docs/metrics.md ---------------------------------------------------------------------------------------------


def rows(heading: str) -> list[list[str]]:
    [section] = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", DOCS, re.DOTALL | re.MULTILINE)
    table = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip("`") for cell in row] for row in table[1:]]


def test_each_metric_stands_in_the_docs_with_its_unit_and_its_dimensions() -> None:
    dimensions = {name: {"none"} for name in FROM_LOGS} | emitted()
    expected = {name: [str(UNITS.get(name, "Count")), ", ".join(sorted(dimensions[name]))] for name in dimensions}
    units = {name: [unit.rpartition(".")[2], where] for name, (unit, where) in expected.items()}

    assert {row[0]: row[1:3] for row in rows("Metrics")} == units
    assert all(all(cell.strip() for cell in row) and len(row) == 5 for row in rows("Metrics"))


def test_the_docs_count_the_metrics_that_are_paid_for() -> None:
    of_the_gateway = sum("none" in row[2] for row in rows("Metrics"))
    of_a_provider = sum("provider" in row[2] for row in rows("Metrics"))

    assert f"{of_the_gateway} for the gateway and {of_a_provider} for each provider" in DOCS
    assert f"{len(ALARMS)} alarms and 1 dashboard" in DOCS


def test_the_docs_list_the_alarms_the_queries_and_the_fields_of_a_request() -> None:
    named = [query["Name"]["Fn::Sub"].removeprefix("${AWS::StackName}/") for query in QUERIES.values()]

    assert {row[0] for row in rows("Alarms")} == set(ALARMS)
    assert [row[0] for row in rows("Saved queries")] == named
    assert {row[0] for row in rows("Log lines")} == logged("request")
