import base64
import json
import logging
import re
from typing import Any

import pytest
from aws_lambda_powertools.metrics import EphemeralMetrics

from gateway.core.redaction import REDACTED, Redactor
from gateway.core.telemetry import UNITS, MetricName, emit, make_logger
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.key_cipher import KeyCipher
from tests.scripted_server import always, answer
from tests.unit.gateway.builders import KEY, a_request
from tests.unit.gateway.conftest import Serve


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_writes_metrics_as_one_emf_line_per_provider(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"Requests": 1, "RequestTime": 12, "PromptTokens": None}, namespace="Ours", provider="main")
    (line,) = lines(capsys)
    (described,) = line["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "Ours"
    assert described["Dimensions"] == [["provider"]]
    assert described["Metrics"] == [
        {"Name": "Requests", "Unit": "Count"},
        {"Name": "RequestTime", "Unit": "Milliseconds"},
    ]
    assert (line["provider"], line["Requests"], line["RequestTime"]) == ("main", [1.0], [12.0])
    assert "PromptTokens" not in line


def test_metrics_for_alarms_have_no_dimensions(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"Ticks": 1, "ProvidersFailed": 0, "OldestBeatAge": 31.5}, namespace="Ours")
    (line,) = lines(capsys)
    (described,) = line["_aws"]["CloudWatchMetrics"]
    assert described["Dimensions"] == [[]]
    assert {"Name": "OldestBeatAge", "Unit": "Seconds"} in described["Metrics"]
    assert (line["ProvidersFailed"], line["OldestBeatAge"]) == ([0.0], [31.5])


def test_dimensions_do_not_leak_into_the_next_metric(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"Requests": 1}, namespace="Ours", provider="main")
    emit({"Ticks": 1}, namespace="Ours")
    _, second = lines(capsys)
    assert second["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]
    assert "Requests" not in second


@pytest.mark.parametrize("provider", [None, "main"])
def test_writes_the_same_line_as_powertools(capsys: pytest.CaptureFixture[str], provider: str | None) -> None:
    values: dict[MetricName, float] = {"Ticks": 1, "OldestBeatAge": 31.5, "HeartbeatLatency": 7}
    emit(dict(values), namespace="Ours", provider=provider)
    powertools = EphemeralMetrics(namespace="Ours")
    if provider is not None:
        powertools.add_dimension("provider", provider)
    for name, value in values.items():
        powertools.add_metric(name, UNITS.get(name, "Count"), value)
    powertools.flush_metrics()

    ours, theirs = (re.sub(r'"Timestamp":\d{13},', "", line) for line in capsys.readouterr().out.splitlines())
    assert ours == theirs


def test_writes_nothing_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"OldestBeatAge": None}, namespace="Ours")
    emit({}, namespace="Ours")
    assert lines(capsys) == []


def test_logs_json_with_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logger = make_logger("unit-test", "INFO")
    logger.debug("too quiet")
    logger.info("request", extra={"status": 200})
    (line,) = lines(capsys)
    assert (line["message"], line["service"], line["level"]) == ("request", "unit-test", "INFO")
    assert line["status"] == 200


def test_the_level_overrides_lambdas(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", "INFO")
    logger = make_logger("unit-test-level", "ERROR")

    logger.warning("too quiet")
    logger.error("loud enough")

    assert [line["message"] for line in lines(capsys)] == ["loud enough"]


def test_escapes_line_breaks_and_terminal_controls(capsys: pytest.CaptureFixture[str]) -> None:
    model = "\ud800 \x1b[2J \x9b2J \u2028 \x85"
    make_logger("unit-test-odd", "INFO").info("request", extra={"model_asked": model})

    written = capsys.readouterr().out
    assert json.loads(written)["model_asked"] == model
    assert written.isascii()
    assert written.removesuffix("\n").isprintable()


def test_silences_the_request_log_of_httpx(serve: Serve, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    make_logger("unit-test", "INFO")
    caplog.set_level(logging.INFO)
    server = serve(always(answer(body=b"{}")))
    b"".join(upstream.forward(a_request(query="q=secret"), Target("main", server.url), within=5).chunks)
    assert [record.name for record in caplog.records if record.name.startswith(("httpx", "httpcore"))] == []


def test_redacts_log_lines_and_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    redactor = Redactor()
    redactor.learn("c0ffee99")
    logger = make_logger("unit-test-redacted", "INFO", redactor)

    try:
        raise ValueError(f"no such key: c0ffee99, {KEY}")
    except ValueError:
        logger.exception("failed with c0ffee99", extra={"words": [{"said": "c0ffee99"}], "provider": "tokenhub_europe"})

    (line,) = lines(capsys)
    assert "c0ffee" not in json.dumps(line)
    assert KEY not in json.dumps(line)
    assert (line["message"], line["words"]) == (f"failed with {REDACTED}", [{"said": REDACTED}])
    assert line["provider"] == "tokenhub_europe"
    assert "ValueError" in line["exception"]


def test_redacts_names_and_a_provider_inside_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    logger = make_logger("unit-test-nested", "INFO", Redactor())
    logger.info("line", extra={"metadata": {"provider": KEY, KEY: "name"}})

    (line,) = lines(capsys)
    assert line["metadata"] == {"provider": REDACTED, REDACTED: "name"}


def test_logs_no_decrypted_key_at_debug_level(cipher: KeyCipher, caplog: pytest.LogCaptureFixture) -> None:
    make_logger("service", "DEBUG")
    caplog.set_level(logging.DEBUG)
    place = {"provider_id": "main", "origin": "https://tokenhub.example.com"}

    assert cipher.decrypt(cipher.encrypt(KEY, **place), **place) == KEY

    assert KEY not in caplog.text
    assert base64.b64encode(KEY.encode()).decode() not in caplog.text
