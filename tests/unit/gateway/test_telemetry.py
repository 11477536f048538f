import json
import logging
import string
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.telemetry import REDACTED, emit, make_logger, redact
from gateway.upstream import Target, Upstream
from tests.unit.gateway.builders import BRIEFLY, KEY, a_request
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.servers import always, answer

KEYS = st.text(string.ascii_letters + string.digits + "_-.", min_size=1, max_size=40)


@BRIEFLY
@given(KEYS, st.lists(st.text(max_size=20), max_size=6), KEYS)
def test_a_registered_key_never_survives(key: str, around: list[str], other: str) -> None:
    assume(key not in REDACTED)
    assert key not in redact(key.join(["", *around, ""]), [other, key] if other not in key else [key])


@BRIEFLY
@given(st.text("ab ", max_size=30))
def test_a_text_without_a_key_stays_as_it_is(text: str) -> None:
    assert redact(text, ["", "other-key"]) == text


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY} is dead",
        "Incorrect API key provided: sk-proj-abc_DEF-123456",
        '{"error": "Authorization: Bearer abc.def.ghi"}',
        "authorization: bearer abc.def.ghi",
        "tokenhub_abcd",
    ],
)
def test_what_has_the_shape_of_a_key_is_taken_out_though_nobody_registered_it(text: str) -> None:
    clean = redact(text)
    assert REDACTED in clean
    assert not any(secret in clean for secret in (KEY, "abc", "123456"))


@pytest.mark.parametrize("text", ["tokenhub is down", "task-management-system", "a bearer of news", "sk-1"])
def test_an_ordinary_word_is_no_key(text: str) -> None:
    assert "[redacted]" not in redact(text.replace("bearer of", "bearer,"))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_metrics_are_one_emf_line_whose_only_dimension_is_the_provider(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"Requests": 1, "RequestTime": 12, "PromptTokens": None}, provider="main")
    (line,) = lines(capsys)
    (described,) = line["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "TokenHubGateway"
    assert described["Dimensions"] == [["provider"]]
    assert described["Metrics"] == [
        {"Name": "Requests", "Unit": "Count"},
        {"Name": "RequestTime", "Unit": "Milliseconds"},
    ]
    assert (line["provider"], line["Requests"], line["RequestTime"]) == ("main", [1.0], [12.0])
    assert "PromptTokens" not in line


def test_metrics_for_alarms_have_no_dimension(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"Ticks": 1, "ProvidersFailed": 0, "OldestBeatAge": 31.5})
    (line,) = lines(capsys)
    (described,) = line["_aws"]["CloudWatchMetrics"]
    assert described["Dimensions"] == [[]]
    assert {"Name": "OldestBeatAge", "Unit": "Seconds"} in described["Metrics"]
    assert (line["ProvidersFailed"], line["OldestBeatAge"]) == ([0.0], [31.5])


def test_a_provider_of_one_line_is_not_a_dimension_of_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"Requests": 1}, provider="main")
    emit({"Ticks": 1})
    _, second = lines(capsys)
    assert second["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]
    assert "Requests" not in second


def test_nothing_is_written_when_nothing_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"OldestBeatAge": None})
    emit({})
    assert lines(capsys) == []


def test_a_log_line_is_json_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logger = make_logger("unit-test", "INFO")
    logger.debug("too quiet")
    logger.info("request", extra={"status": 200})
    (line,) = lines(capsys)
    assert (line["message"], line["service"], line["level"]) == ("request", "unit-test", "INFO")
    assert line["status"] == 200


def test_httpx_writes_no_line_of_its_own_for_a_request(
    serve: Serve, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    make_logger("unit-test", "INFO")
    caplog.set_level(logging.INFO)
    server = serve(always(answer(body=b"{}")))
    b"".join(upstream.forward(a_request(query="q=secret"), Target("main", server.url), within=5).chunks)
    assert [record.name for record in caplog.records if record.name.startswith(("httpx", "httpcore"))] == []
