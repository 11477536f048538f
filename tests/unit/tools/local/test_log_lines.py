import json
from typing import Any

import pytest

from tools.local.log_lines import metrics, parse, readable

AT = 1_790_000_000_000


def shown(message: str, *, colour: bool = False) -> str | None:
    return readable(AT, "heartbeat", parse(message), colour=colour)


def after_clock(line: str | None) -> str:
    assert line is not None
    return line.split(" ", 1)[1]


def test_a_json_line_becomes_level_message_and_its_own_fields() -> None:
    line = {
        "level": "INFO", "location": "handler:12", "message": "beat", "timestamp": "2026", "service": "gateway",
        "function_name": "x", "xray_trace_id": "1-2", "provider": "tokenhub", "latency_ms": 12, "ttft_ms": None,
        "error": "all providers failed", "ok": False,
    }  # fmt: skip

    assert after_clock(shown(json.dumps(line))) == (
        'heartbeat    INFO    beat provider=tokenhub latency_ms=12 error="all providers failed" ok=false'
    )


def test_an_exception_is_its_last_line() -> None:
    line = {"level": "ERROR", "message": "failed", "exception": "Traceback:\n  File x\nValueError: no"}

    assert after_clock(shown(json.dumps(line))) == "heartbeat    ERROR   failed ValueError: no"


def test_a_line_break_never_makes_a_second_line() -> None:
    text = after_clock(shown(json.dumps({"level": "INFO", "message": "one\ntwo", "field": "a\nb"})))

    assert text == 'heartbeat    INFO    one two field="a\\nb"'


def test_a_message_that_is_an_object_is_shown() -> None:
    assert after_clock(shown('{"level": "INFO", "message": {"a": 1}}')) == 'heartbeat    INFO    {"a": 1}'


def test_plain_text_is_shown_as_it_is() -> None:
    assert after_clock(shown("  File x, line 1\n")) == "heartbeat              File x, line 1"


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
def test_what_nobody_wants_to_see_is_left_out(message: str) -> None:
    assert shown(message) is None


def test_colour_comes_only_when_asked_for() -> None:
    warning = '{"level": "WARNING", "message": "slow"}'

    assert "\x1b[33mWARNING\x1b[0m" in (shown(warning, colour=True) or "")
    assert "\x1b" not in (shown(warning) or "")


def test_json_that_is_no_object_is_text() -> None:
    assert parse("[1]") == "[1]"
    assert parse("12") == "12"


def emf(**more: Any) -> dict[str, Any]:
    directive = {
        "Namespace": "TokenHubGateway",
        "Dimensions": [["provider"], []],
        "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}, {"Name": "Missing"}],
    }
    return {"_aws": {"Timestamp": AT, "CloudWatchMetrics": [directive]}, "provider": "tokenhub", **more}


def test_embedded_metrics_become_one_datum_per_set_of_dimensions() -> None:
    found = list(metrics(emf(Latency=[12, 13])))

    assert [namespace for namespace, _ in found] == ["TokenHubGateway"] * 2
    with_provider, without = (datum for _, datum in found)
    assert with_provider["Dimensions"] == [{"Name": "provider", "Value": "tokenhub"}]
    assert without["Dimensions"] == []
    assert with_provider["MetricName"] == "Latency"
    assert with_provider["Unit"] == "Milliseconds"
    assert with_provider["Values"] == [12, 13]
    assert with_provider["Timestamp"].timestamp() == AT / 1000


def test_a_single_value_is_a_list_of_one() -> None:
    assert [datum["Values"] for _, datum in metrics(emf(Latency=3))] == [[3], [3]]


def test_a_line_without_metrics_has_none() -> None:
    assert list(metrics({"message": "hello"})) == []
