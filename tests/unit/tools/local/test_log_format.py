import json
from typing import Any

import pytest

from tools.local.log_format import embedded_metrics, format_line, parse

AT = 1_790_000_000_000


def formatted(message: str, *, colour: bool = False) -> str | None:
    return format_line(AT, "heartbeat", parse(message), colour=colour)


def after_clock(line: str | None) -> str:
    assert line is not None
    return line.split(" ", 1)[1]


def test_formats_level_message_and_fields() -> None:
    line = {
        "level": "INFO", "location": "handler:12", "message": "beat", "timestamp": "2026", "service": "gateway",
        "function_name": "x", "xray_trace_id": "1-2", "provider": "tokenhub", "latency_ms": 12, "ttft_ms": None,
        "error": "all providers failed", "ok": False,
    }  # fmt: skip

    assert after_clock(formatted(json.dumps(line))) == (
        'heartbeat    INFO    beat provider=tokenhub latency_ms=12 error="all providers failed" ok=false'
    )


def test_shows_the_last_line_of_an_exception() -> None:
    line = {"level": "ERROR", "message": "failed", "exception": "Traceback:\n  File x\nValueError: no"}

    assert after_clock(formatted(json.dumps(line))) == "heartbeat    ERROR   failed ValueError: no"


def test_replaces_line_breaks() -> None:
    text = after_clock(formatted(json.dumps({"level": "INFO", "message": "one\ntwo", "field": "a\nb"})))

    assert text == 'heartbeat    INFO    one two field="a\\nb"'


def test_shows_a_message_that_is_an_object() -> None:
    assert after_clock(formatted('{"level": "INFO", "message": {"a": 1}}')) == 'heartbeat    INFO    {"a": 1}'


def test_shows_plain_text_unchanged() -> None:
    assert after_clock(formatted("  File x, line 1\n")) == "heartbeat              File x, line 1"


@pytest.mark.parametrize(
    "message",
    [
        "START RequestId: 1 Version: 2",
        "END RequestId: 1",
        "REPORT RequestId: 1\tDuration: 2 ms",
        "",
        "   ~~~~^^^^",
        '{"type": "platform.start", "record": {}}',
        '{"_aws": {"CloudWatchMetrics": []}, "Beats": 1}',
    ],
)
def test_hides_platform_lines_metrics_and_traceback_markers(message: str) -> None:
    assert formatted(message) is None


def test_uses_colour_only_if_enabled() -> None:
    warning = '{"level": "WARNING", "message": "slow"}'

    assert "\x1b[33mWARNING\x1b[0m" in (formatted(warning, colour=True) or "")
    assert "\x1b" not in (formatted(warning) or "")


def test_json_without_an_object_is_text() -> None:
    assert parse("[1]") == "[1]"
    assert parse("12") == "12"


def emf(**more: Any) -> dict[str, Any]:
    directive = {
        "Namespace": "TokenHubGateway",
        "Dimensions": [["provider"], []],
        "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}, {"Name": "Missing"}],
    }
    return {"_aws": {"Timestamp": AT, "CloudWatchMetrics": [directive]}, "provider": "tokenhub", **more}


def test_yields_one_datum_per_metric_and_dimension_set() -> None:
    data = list(embedded_metrics(emf(Latency=[12, 13])))

    assert [namespace for namespace, _ in data] == ["TokenHubGateway"] * 2
    with_provider, without = (datum for _, datum in data)
    assert with_provider["Dimensions"] == [{"Name": "provider", "Value": "tokenhub"}]
    assert without["Dimensions"] == []
    assert with_provider["MetricName"] == "Latency"
    assert with_provider["Unit"] == "Milliseconds"
    assert with_provider["Values"] == [12, 13]
    assert with_provider["Timestamp"].timestamp() == AT / 1000


def test_single_value_becomes_a_list() -> None:
    assert [datum["Values"] for _, datum in embedded_metrics(emf(Latency=3))] == [[3], [3]]


def test_line_without_metrics_yields_none() -> None:
    assert list(embedded_metrics({"message": "hello"})) == []
