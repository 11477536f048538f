"""Dashboard, alarms and saved queries name only metrics, resources and fields that exist."""

import json
import re
import uuid
from itertools import combinations
from typing import Any

import pytest

from gateway.core.telemetry import make_logger
from tests.structure.observability import (
    ALARMS,
    AWS_METRICS,
    FROM_LOGS,
    METRICS_INSIGHTS,
    NAMES,
    OWN,
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
from tests.structure.rendered import deployed, of_type
from tests.template import ROOT, template
from tools.ops.log_search import ACCESS_GROUP, FUNCTION_GROUPS

WITHOUT_DIMENSION = {name for name, dimensions in emitted().items() if "none" in dimensions} | FROM_LOGS


def assert_is_aws_metric(namespace: str, name: str, dimension: str, logical_id: str) -> None:
    expected, types, known = AWS_METRICS[namespace]
    resource_type = "stack" if logical_id == "AWS::StackName" else RESOURCES[logical_id]["Type"]
    assert (dimension, name in known, resource_type in types) == (expected, True, True)


# ---- The code ----------------------------------------------------------------------------------------------------


def test_every_metric_is_emitted() -> None:
    assert set(emitted()) == set(NAMES)


def test_api_name_is_the_stack_name() -> None:
    assert RESOURCES["Api"]["Properties"]["Body"]["info"]["title"] == {"Ref": "AWS::StackName"}


# ---- Alarms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_watches_an_existing_metric_without_provider(name: str) -> None:
    alarm = ALARMS[name]
    if alarm["Namespace"] == OWN:
        assert "Dimensions" not in alarm
        assert alarm["MetricName"] in WITHOUT_DIMENSION
    else:
        [dimension] = alarm["Dimensions"]
        resource = dimension["Value"]["Ref"]
        assert_is_aws_metric(alarm["Namespace"], alarm["MetricName"], dimension["Name"], resource)


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_notifies_on_alarm_and_recovery(name: str) -> None:
    assert ALARMS[name]["AlarmActions"] == ALARMS[name]["OKActions"] == [{"Ref": "AlarmTopic"}]
    assert "ActionsEnabled" not in ALARMS[name]
    assert len(ALARMS[name]["AlarmDescription"]) > 40
    # The local AWS does not support metric math.
    assert "Metrics" not in ALARMS[name]


AT_LEAST, BELOW = "GreaterThanOrEqualToThreshold", "LessThanThreshold"
ONCE_IN_FIVE_MINUTES = ("Sum", 300, 1, AT_LEAST, 1)
# Statistic, period, evaluation periods, comparison, threshold, and the treatment of missing data.
THRESHOLDS = {
    "ProviderFailedAlarm": ("Maximum", 60, 1, AT_LEAST, 1, "ignore"),
    "NoTicksAlarm": ("Sum", 60, 2, BELOW, 1, "breaching"),
    "BeatsUnfinishedAlarm": (*ONCE_IN_FIVE_MINUTES, "ignore"),
    "BeatsNotWrittenAlarm": (*ONCE_IN_FIVE_MINUTES, "ignore"),
    "EventsNotPublishedAlarm": (*ONCE_IN_FIVE_MINUTES, "ignore"),
}


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_thresholds_match_the_docs(name: str) -> None:
    """The local AWS ignores missing data and the dimensions of alarms, so no other test covers them."""
    alarm = ALARMS[name]
    settings = tuple(
        alarm[key] for key in ("Statistic", "Period", "EvaluationPeriods", "ComparisonOperator", "Threshold")
    )

    assert (*settings, alarm["TreatMissingData"]) == THRESHOLDS.get(name, (*ONCE_IN_FIVE_MINUTES, "notBreaching"))


# Metrics whose values cannot be summed.
GAUGES = {"ProvidersFailed", "ProvidersSubstituted", "OldestBeatAge", "Duration", "ConcurrentExecutions"}


def test_widget_statistic_fits_the_metric() -> None:
    for _, metric, *_, options in charted():
        times = metric.endswith("Time") or metric in {"Latency", "ChunkInterval"}
        expected = {"p50", "p90", "p99"} if times else {"Maximum"} if metric in GAUGES else {"Sum"}
        assert options["stat"] in expected, metric


def test_alarm_descriptions_are_unique() -> None:
    assert len({alarm["AlarmDescription"] for alarm in ALARMS.values()}) == len(ALARMS)


def test_each_function_has_an_alarm() -> None:
    watched = {d["Value"]["Ref"] for alarm in ALARMS.values() for d in alarm.get("Dimensions", [])}
    # AuthorizerFailures counts its errors from the log.
    by_log = {"AuthorizerFunction"}

    assert watched & RESOURCES.keys() == set(of_type("AWS::Lambda::Function", RESOURCES)) - by_log | {
        "HeartbeatWorkflow"
    }
    assert RESOURCES["AuthorizerFailures"]["Properties"]["LogGroupName"] == {"Ref": "AuthorizerLogs"}


def test_wrong_tokens_raise_no_alarm() -> None:
    pattern = RESOURCES["AuthorizerFailures"]["Properties"]["FilterPattern"]
    [message] = re.findall(r'errorMessage != "(\w+)"', pattern)

    assert f'raise Exception("{message}")' in (ROOT / "functions/authorizer/app.py").read_text()


def test_provider_alarm_is_optional_and_follows_every_provider() -> None:
    alarm = deployed({"ProviderAlarms": "on"})["Resources"]["EachProviderAlarm"]["Properties"]
    [metric] = alarm["Metrics"]
    query = METRICS_INSIGHTS.fullmatch(metric["Expression"]["Fn::Sub"])

    assert "EachProviderAlarm" not in ALARMS
    assert query is not None
    assert "provider" in emitted()[query["name"]]
    # 0 while a provider is muted: tests/unit/gateway/heartbeat/test_muting.py
    assert query["name"] == "HeartbeatFailures"
    assert (query["statistic"], metric["Period"], alarm["EvaluationPeriods"]) == ("MAX", 60, 1)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (AT_LEAST, 1)
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]


def test_only_alarms_of_this_account_may_publish() -> None:
    [statement] = RESOURCES["AlarmTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (statement["Action"], statement["Resource"]) == ("sns:Publish", {"Ref": "AlarmTopic"})
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


@pytest.mark.parametrize(
    ("parameter", "valid", "invalid"),
    [
        ("AlarmEmail", ["", "a.b+c@example.co.uk"], ["a", "a@b", "a b@example.com", "a@b.c,d@e.f"]),
        ("MetricsNamespace", ["TokenHubGateway", "team-a.gateway_2"], ["", "AWS/Lambda", "a b", 'a"b', "2nd"]),
    ],
)
def test_alert_parameters_accept_only_valid_values(parameter: str, valid: list[str], invalid: list[str]) -> None:
    declared = template()["Parameters"][parameter]
    pattern = re.compile(declared["AllowedPattern"])

    assert all(pattern.fullmatch(value) for value in [*valid, declared["Default"]])
    assert not any(pattern.fullmatch(value) for value in invalid)


def test_no_other_resource_needs_aws_only_resources() -> None:
    on_aws = {name for name, resource in RESOURCES.items() if resource.get("Condition") == "OnAws"}
    always = json.dumps([resource for name, resource in RESOURCES.items() if name not in on_aws])

    assert on_aws >= set(QUERIES)
    assert not [name for name in on_aws if f'"{name}"' in always or f"${{{name}" in always]


# ---- Dashboard ---------------------------------------------------------------------------------------------------


def test_dashboard_references_exist() -> None:
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    known = RESOURCES.keys() | template()["Parameters"].keys() | {"AWS::Region", "AWS::StackName"}

    assert {name.removesuffix(".Arn") for name in REFERENCE.findall(body)} <= known


def test_widgets_fit_24_columns_without_overlap() -> None:
    def cells(widget: dict[str, Any]) -> set[tuple[int, int]]:
        across, down = range(widget["width"]), range(widget["height"])
        return {(widget["x"] + x, widget["y"] + y) for x in across for y in down}

    assert all(widget["x"] + widget["width"] <= 24 for widget in dashboard()["widgets"])
    assert not [pair for pair in combinations(map(cells, dashboard()["widgets"]), 2) if pair[0] & pair[1]]


def test_dashboard_sections_are_in_order() -> None:
    headings = [widget for widget in dashboard()["widgets"] if widget["type"] == "text"]

    assert [heading["properties"]["markdown"] for heading in sorted(headings, key=lambda heading: heading["y"])] == [
        "# Status",
        "# Recent changes",
        "# User experience",
        "# Details",
    ]


def test_charted_metrics_exist() -> None:
    for namespace, name, *more in charted():
        if namespace == "${MetricsNamespace}":
            assert name in WITHOUT_DIMENSION
            assert len(more) == 1, "options and no dimension"
        else:
            assert_is_aws_metric(namespace, name, more[0], more[1].strip("${}"))


def test_searched_metrics_have_the_provider_dimension() -> None:
    assert searched()
    assert searched() <= {name for name, dimensions in emitted().items() if "provider" in dimensions}


def test_dashboard_shows_every_metric() -> None:
    assert {name for namespace, name, *_ in charted() if namespace == "${MetricsNamespace}"} | searched() == set(NAMES)


def test_dashboard_shows_every_alarm() -> None:
    [widget] = widgets("alarm")

    assert {reference.strip("${}").removesuffix(".Arn") for reference in widget["alarms"]} == set(ALARMS)


# ---- Queries -----------------------------------------------------------------------------------------------------

LANGUAGE = {
    *("filter", "fields", "sort", "stats", "limit", "by", "as", "desc", "asc", "and", "or", "not", "in", "SOURCE"),
    *("count", "max", "ispresent", "coalesce"),
}
# awslambdaric logs these fields when a function fails before it can log.
RUNTIME_FIELDS = {"errorType", "errorMessage"}


def common_fields(capsys: pytest.CaptureFixture[str]) -> set[str]:
    try:
        raise ValueError
    except ValueError:
        make_logger(uuid.uuid4().hex, "INFO").exception("line")
    return set(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("name", log_queries())
def test_query_fields_are_logged(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    query = log_queries()[name]
    unquoted = re.sub(r"'[^']*'", "", query)
    aliases = set(re.findall(r"\bas (\w+)", unquoted))
    used = set(re.findall(r"(?<![@\w])[A-Za-z_]\w*", unquoted)) - LANGUAGE - aliases
    matched = re.findall(r"message = '([^']*)'", query)

    assert set(matched) <= messages()
    fields = set().union(*(logged(message) for message in matched or messages()))
    assert used <= fields | common_fields(capsys) | RUNTIME_FIELDS


def test_make_trace_searches_every_function_that_answers_requests() -> None:
    """The heartbeat function answers no request of a client."""
    groups = set(of_type("AWS::Logs::LogGroup", deployed({"AccessLogs": "existing"})["Resources"]))

    assert groups - {"HeartbeatLogs"} == {*FUNCTION_GROUPS, ACCESS_GROUP}


def test_queries_read_every_log_group_of_the_stack() -> None:
    groups = {group["Ref"] for query in QUERIES.values() for group in query["LogGroupNames"]}

    assert groups == set(of_type("AWS::Logs::LogGroup", deployed()["Resources"]))
