"""docs/metrics.md lists every metric, alarm, query and log field, and only those that exist."""

import re

from gateway.core.telemetry import UNITS
from tests.structure.observability import ALARMS, FROM_LOGS, QUERIES, emitted, logged
from tests.template import ROOT

DOCS = (ROOT / "docs/metrics.md").read_text()


def rows(heading: str) -> list[list[str]]:
    [section] = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", DOCS, re.DOTALL | re.MULTILINE)
    table = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip("`") for cell in row] for row in table[1:]]


def test_docs_list_each_metric_with_unit_and_dimensions() -> None:
    dimensions = {name: {"none"} for name in FROM_LOGS} | emitted()
    expected = {name: [str(UNITS.get(name, "Count")), ", ".join(sorted(dimensions[name]))] for name in dimensions}
    units = {name: [unit.rpartition(".")[2], where] for name, (unit, where) in expected.items()}

    assert {row[0]: row[1:3] for row in rows("Metrics")} == units
    assert all(all(cell.strip() for cell in row) and len(row) == 5 for row in rows("Metrics"))


def test_docs_count_the_billed_metrics() -> None:
    gateway_metrics = sum("none" in row[2] for row in rows("Metrics"))
    provider_metrics = sum("provider" in row[2] for row in rows("Metrics"))

    assert f"{gateway_metrics} for the gateway and {provider_metrics} for each provider" in DOCS
    assert f"{len(ALARMS)} alarms and 1 dashboard" in DOCS


def test_docs_explain_the_optional_alarm_for_each_provider() -> None:
    assert "`EachProviderAlarm`" in DOCS


def test_docs_list_alarms_queries_and_request_fields() -> None:
    named = [query["Name"]["Fn::Sub"].removeprefix("${AWS::StackName}/") for query in QUERIES.values()]

    assert {row[0] for row in rows("Alarms")} == set(ALARMS)
    assert [row[0] for row in rows("Saved queries")] == named
    assert {row[0] for row in rows("Log lines")} == logged("request")
